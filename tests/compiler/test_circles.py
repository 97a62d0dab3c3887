"""States whose new values are only handed on: a condition that stays, two that change places."""

from __future__ import annotations

import pytest

import recell
from recell import Cell, cell, tanh, where
from recell.compiler.circles import handed_round, without_circles


@cell
def Kept(p, x, h, c):
    h = tanh(p.W @ x + p.U @ h + p.V @ c)
    return h, c


@cell(output="v")
def AllKept(p, x, h):
    v = tanh(p.W @ x + p.U @ h)  # noqa: F841
    return h


@cell(output="v")
def Swapped(p, x, h, c):
    v = tanh(p.W @ x + p.U @ h + p.V @ c)  # noqa: F841
    return c, h


@cell(output=("v", "h"))
def WithoutGradient(p, x, h, c, s):
    v = where(h > 0.1, p.b, p.W @ x)  # noqa: F841
    return c, s, h


@pytest.mark.parametrize("made", [Kept, AllKept, Swapped, WithoutGradient], ids=lambda made: made.name)
def test_every_backend_carries_them(made: Cell) -> None:
    report = recell.verify(made)
    assert report.ok, str(report)
    assert all(line.error is not None for line in report.lines), str(report)


def test_only_circles_of_leaves_are_found() -> None:
    assert handed_round([(0, 0), (1, 5)]) == {0}
    assert handed_round([(0, 1), (1, 2), (2, 0), (3, 0)]) == {0, 1, 2}  # 3 follows the circle, it is not in it
    assert handed_round([(0, 7), (1, 0), (2, 1)]) == set()


def test_a_graph_without_circles_is_left_alone() -> None:
    graph = recell.cells.LSTM.graph
    assert without_circles(graph) is graph
