from __future__ import annotations

import numpy as np

from recell import cells
from tests.cells.by_hand import equals_by_hand
from tests.contract.harness import case_of, forward, make, sizes_of


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
