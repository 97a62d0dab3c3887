"""Every backend computes what the reference, the definition, computes: forward and every gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recell.compiler.build import Variant
from tests.contract.descriptions import BACKENDS
from tests.contract.harness import agree, by_reference, case_of, everything, forward, same_bits, trace, turned

DIRECTIONS = [(reverse, ragged) for reverse in (False, True) for ragged in (False, True)]


def test_forward_and_gradients(cell: str, other: str, variant: str, dtype: str) -> None:
    for reverse, ragged in DIRECTIONS:
        case = turned(case_of(cell, variant), reverse, ragged)
        agree(everything(case, other, dtype), by_reference(case), dtype)


def test_wide_cells_on_two_threads(cell: str, other: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECELL_NUM_THREADS", "2")
    for rows in (1, 2, 13):
        case = case_of(cell, "plain", wide=True, rows=rows, steps=3)
        agree(everything(case, other, dtype), by_reference(case), dtype)


def test_what_is_kept_for_the_gradients_changes_nothing(cell: str, backend: str, variant: str) -> None:
    case = case_of(cell, variant)
    agree(forward(case, backend, save=True), forward(case, backend, save=False))


def test_without_the_gradient_of_x(cell: str, backend: str) -> None:
    case = case_of(cell)
    expected = {name: value for name, value in by_reference(case).items() if name != "dx"}
    agree(everything(replace(case, variant=Variant(input_gradient=False)), backend), expected)


@pytest.mark.parametrize("ragged", [False, True])
def test_the_trace_holds_every_local_and_state(cell: str, variant: str, ragged: bool) -> None:
    case = turned(case_of(cell, variant), False, ragged)
    expected = trace(case, "reference")
    assert {s.name for s in case.cell.states} <= expected.keys()
    for backend, how in BACKENDS.items():
        if how.traces and not case.variant.mask:
            agree(trace(case, backend), expected)


def test_the_cpu_takes_tensors_as_it_takes_arrays(cell: str) -> None:
    case = case_of(cell)
    same_bits(everything(case, "cpu", library="torch"), everything(case, "cpu", library="numpy"))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_bits_for_the_same_number_of_threads(
    cell: str, dtype: str, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECELL_NUM_THREADS", threads)
    case = case_of(cell, "all", wide=True)
    same_bits(everything(case, "cpu", dtype), everything(case, "cpu", dtype))
