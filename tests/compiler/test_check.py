"""`recell.verify`: a table of what every backend computes; a backend that computes something else is named."""

from __future__ import annotations

import pytest

import recell
from recell import CellError, cell, split, tanh
from recell.compiler.backends.eager.ops import TORCH
from recell.compiler.build import backends, build
from tests.contract.descriptions import NAMES, cell_named


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_passes(name: str) -> None:
    report = recell.verify(cell_named(name))
    assert report.ok, str(report)
    assert {line.backend for line in report.lines} == set(backends())
    assert all(line.error is not None for line in report.lines), str(report)


def test_the_report_is_a_table() -> None:
    report = recell.verify(recell.cells.LSTM)
    rows = str(report).splitlines()
    assert rows[0] == "LSTM (input 3, hidden 5): every backend computes what its equations say"
    assert len(rows) == 1 + len(report.lines)
    assert all(row.endswith("ok") and row.split()[0] in backends() for row in rows[1:])


def test_a_wrong_backend_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @cell
    def Sinus(p, x, h):
        return recell.sin(p.W @ x + p.U @ h)

    monkeypatch.setitem(TORCH, "sin", TORCH["cos"])
    report = recell.verify(Sinus)
    assert not report.ok and not report
    assert {line.backend for line in report.lines if not line.ok} == {"eager"}
    assert "NOT every backend" in str(report) and "WRONG" in str(report)


def test_a_backend_that_can_not_run_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*arguments, backend: str, **others):
        if backend == "cpu":
            raise CellError("the cpu backend has no such thing; came a test; write another")
        return build(*arguments, backend=backend, **others)

    monkeypatch.setattr("recell.compiler.check.build", refusing)
    report = recell.verify(recell.cells.Elman)
    assert report.ok
    assert [line for line in str(report).splitlines() if "not run: the cpu backend has no such thing" in line]


def test_sizes_are_found_that_fit() -> None:
    @cell(sizes={"h": "2*width"})
    def Sevenths(p, x, h):
        a, b = split(p.W @ x + h, 2)
        parts = split(a * b, 6)
        return tanh(p.U @ parts[0] + p.V @ parts[5])

    report = recell.verify(Sevenths)
    assert report.ok and report.sizes["width"] % 6 == 0


def test_an_open_cell_is_refused() -> None:
    @cell
    def Open(p, x, h, *, rate):
        return tanh(p.W @ x + rate * h)

    with pytest.raises(CellError, match="needs its constants first: rate"):
        recell.verify(Open)
