"""Every cell of the zoo takes every modifier, or refuses it by name in one line; and those that it takes combine."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import pytest

from recell import Cell, CellError, cells
from recell.language.modifiers.common import Modifier
from recell.modifiers import dilation, layer_norm, recurrent_dropout, weight_drop, zoneout
from tests.contract import descriptions, harness

NAMES = cells.names()


def modifiers_for(cell: Cell) -> dict[str, Modifier]:
    """Zoneout keeps every state but time."""
    return {
        "layer_norm of products": layer_norm(),
        "layer_norm of gates": layer_norm(per="gates"),
        "zoneout": zoneout(**{state.name: 0.1 * (n + 1) for n, state in enumerate(cell.states) if state.size is not None}),
        "recurrent_dropout": recurrent_dropout(0.25),
        "weight_drop": weight_drop(0.3),
        "dilation": dilation(2),
    }


# Which cells refuse a modifier, and why they may: each of them always, and no other cell.
REFUSED: dict[str, dict[str, str]] = {
    "layer_norm of products": {},
    "layer_norm of gates": {},
    "zoneout": {},
    "recurrent_dropout": dict.fromkeys(("MinGRU", "MinLSTM", "RGLRU"), "no parameter multiplies the state"),
    "weight_drop": dict.fromkeys(("MinGRU", "MinLSTM", "RGLRU"), "no parameter multiplies the state")
    | {"LRU": "what multiplies the state is computed of logarithms"},
    "dilation": dict.fromkeys(("CfC", "GRUD", "PhasedLSTM"), "elapsed time is the time since the last step of all"),
}
KINDS = tuple(REFUSED)


def test_the_table_names_cells() -> None:
    assert {name for refused in REFUSED.values() for name in refused} <= set(NAMES)


@cache
def modified(name: str, *kinds: str) -> Cell:
    cell = cells.get(name)
    return cell.with_(*[modifiers_for(cell)[kind] for kind in kinds])


def fitting(name: str) -> list[str]:
    return [kind for kind in KINDS if name not in REFUSED[kind]]


def runs(name: str, *kinds: str) -> None:
    """With coins, a mask, resets and rows of many lengths: outputs and all gradients of the kernel are the definition's."""
    cell = modified(name, *kinds)
    sizes = harness.sizes_of(cell, 5, descriptions.description_of(name).sizes)
    case = harness.make(cell, sizes, steps=4, rows=3, variant=harness.VARIANTS["all"])
    case = harness.replace(case, active=(3, 2, 2, 1))
    harness.agree(harness.everything(case, "cpu"), harness.everything(case, "reference"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_takes_a_modifier_or_refuses_it_by_name(name: str, kind: str) -> None:
    if name not in REFUSED[kind]:
        runs(name, kind)
        return
    with pytest.raises(CellError, match=kind.split()[0]) as caught:
        modified(name, kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_modifiers_that_a_cell_takes_combine(name: str) -> None:
    """Every pair makes a cell that verifies, in either order; all of them at once run as defined."""
    taken = [kind for kind in fitting(name) if kind != "layer_norm of gates"]
    for one, other in combinations(taken, 2):
        for pair in ((one, other), (other, one)):
            together = modified(name, *pair)
            assert len(together.states) == len(cells.get(name).states) * (2 if "dilation" in pair else 1) - (
                1 if "dilation" in pair and cells.get(name).uses_time else 0
            )
    runs(name, *taken)
