from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from recell import CellError, cells
from recell.compiler.guards import Guard
from recell.compiler.plan import StepPlan
from recell.compiler.planner import make_plan
from tests.cells.by_hand import equals_by_hand
from tests.contract.harness import VARIANTS, case_of, forward, make, sizes_of


def step(p, x, s, periods=(1, 2, 4, 8)):
    old = np.split(s["h"], len(periods), axis=1)
    new = []
    for i, period in enumerate(periods):
        z = x @ p[f"W_{i}"].T + p[f"b_{i}"]
        for j in range(i, len(periods)):
            z = z + old[j] @ p[f"U_{i}_{j}"].T
        due = s["t"][:, 0].astype(int) % period == 0
        new.append(np.where(due[:, None], np.tanh(z), old[i]))
    return {"h": np.concatenate(new, 1), "t": s["t"] + 1}


def test_step() -> None:
    equals_by_hand("Clockwork", step)
    two = cells.Clockwork(periods=(1, 3))
    equals_by_hand(make(two, sizes_of(two, 20)), lambda p, x, s: step(p, x, s, (1, 3)))


def test_other_periods() -> None:
    two = cells.Clockwork(periods=(1, 3))
    names = {p.name for p in two.parameters(two.resolve(3, 4))}
    assert names == {"W_0", "b_0", "U_0_0", "U_0_1", "W_1", "b_1", "U_1_1"} and two != cells.Clockwork
    assert cells.Clockwork(periods=(1, 2, 4, 8)) == cells.Clockwork


def test_modules_stand_still_between_their_ticks() -> None:
    case = case_of("Clockwork", steps=9)
    y = forward(case.at(slice(None), (case.states[0], np.zeros((case.rows, 1)))), "reference")["y"]
    for period, module in zip((1, 2, 4, 8), np.split(y, 4, axis=2), strict=True):
        moves = [t for t in range(1, 9) if (module[t] != module[t - 1]).any()]
        assert moves == list(range(period, 9, period))


WRONG = [(8, 4, 2, 1), (1, 2, 2), (2, 0), (0,), (-2, 1), (1.5, 3), (1.0, 2.0), (True, 2), (), 4, "12"]


@pytest.mark.parametrize("periods", WRONG, ids=str)
def test_periods_that_would_invert_or_kill_the_network_are_refused(periods: object) -> None:
    with pytest.raises(CellError, match="each larger than the one before; came .*; write periods=") as caught:
        cells.Clockwork(periods=periods)
    assert "\n" not in str(caught.value) and repr(periods) in str(caught.value)


def test_what_is_not_due_is_not_computed() -> None:
    """All that a module reads waits for its tick: in the loop, for the backward step, and in the weight gradients."""
    plan = make_plan(cells.Clockwork, sizes_of(cells.Clockwork, 8), VARIANTS["training"])
    reads = {1: 5, 2: 4, 4: 3, 8: 2}  # of the module of this period: x, itself and the slower ones
    for step in (plan.forward, plan.saving, plan.backward):
        products = (p for phase in step.phases for stage in phase.stages for form in stage.forms for p in form.products)
        assert periods_of(step, (p.guard for p in products)) == reads
    back = plan.backward
    assert periods_of(back, (back.outer_guards.get(node) for node, _, _ in back.outers)) == {1: 5, 2: 4, 4: 3, 8: 2}


def periods_of(step: StepPlan, guards: Iterable[Guard | None]) -> dict[int, int]:
    """How many of them wait for t % period == 0, by period; each must."""
    found = Counter[int]()
    for guard in guards:
        assert guard is not None and guard.when
        condition, nodes = step.nodes[guard.condition], step.nodes
        tick, zero = (nodes[i] for i in condition.inputs)
        assert condition.op == "eq" and tick.op == "mod" and zero.attributes == (0.0,)
        found[int(nodes[tick.inputs[1]].attributes[0])] += 1
    return dict(found)
