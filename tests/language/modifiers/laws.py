"""What every modified cell is held to: all backends agree, gradients equal central differences, saving keeps the cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recell.language.cell import Cell
from tests.contract import harness
from tests.contract.harness import Case

HIDDEN = 5


def case_of(cell: Cell, variant: str = "plain", *, hidden: int = HIDDEN, rows: int = harness.ROWS) -> Case:
    sizes = harness.sizes_of(cell, hidden)
    return harness.make(cell, sizes, variant=harness.VARIANTS[variant], rows=rows)


def runs_everywhere(cell: Cell) -> None:
    """Reference, eager and cpu: forward and all gradients, plain and with coins, masks, resets and ragged rows reversed."""
    for variant in ("plain", "training", "all"):
        case = case_of(cell, variant)
        for turned in (case, harness.turned(case, True, True)):
            for backend in ("eager", "cpu"):
                harness.agree(harness.everything(turned, backend), harness.by_reference(turned))
    harness.equals_central_differences(case_of(cell, "training"), "reference", directions=2)
    assert Cell.from_json(cell.to_json()) == cell


def same_function(cell: Cell, other: Cell, variant: str = "training") -> None:
    """Two cells with the same names of parameters, in any order, compute the same and have the same gradients."""
    case, twin = case_of(cell, variant), case_of(other, variant)
    values = {p.name: v for p, v in zip(cell.graph.parameters, case.parameters, strict=True)}
    assert values.keys() == {p.name for p in other.graph.parameters}
    moved = harness.replace(twin, parameters=tuple(values[p.name] for p in other.graph.parameters))
    harness.agree(harness.everything(moved, "reference"), harness.everything(case, "reference"))


def parameters(case: Case) -> dict[str, np.ndarray]:
    return {p.name: v for p, v in zip(case.cell.graph.parameters, case.parameters, strict=True)}


def with_parameters(case: Case, changed: Mapping[str, np.ndarray]) -> Case:
    values = parameters(case) | dict(changed)
    return harness.replace(case, parameters=tuple(values[p.name] for p in case.cell.graph.parameters))
