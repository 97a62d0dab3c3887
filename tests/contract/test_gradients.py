"""Gradients of x, every parameter and every initial state equal central differences in float64."""

from __future__ import annotations

from tests.contract.descriptions import cell_named, description_of
from tests.contract.harness import VARIANTS, case_of, equals_central_differences, make, sizes_of, turned


def test_along_random_directions(cell: str, backend: str) -> None:
    equals_central_differences(case_of(cell, steps=4, rows=3), backend, directions=2)


def test_with_everything_at_once(cell: str, backend: str) -> None:
    """Coins, masks, resets, ragged rows, in the reverse direction."""
    equals_central_differences(turned(case_of(cell, "all"), True, True), backend, directions=1)


def test_every_single_number(cell: str) -> None:
    """On the reference, small: what a sum along a direction could hide shows here."""
    definition, how = cell_named(cell), description_of(cell)
    sizes = sizes_of(definition, 3, dict.fromkeys(how.sizes, 2))
    case = make(definition, sizes, steps=3, rows=2, variant=VARIANTS["all"], seed=3)
    equals_central_differences(case, "reference", directions=None)
