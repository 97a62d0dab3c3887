"""The everywhere phase: what a loop over the same stages would do, ragged or not."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("is_ragged", (False, True))
@pytest.mark.parametrize("with_row", (False, True))
@pytest.mark.parametrize(("steps", "rows", "threads"), ((5, 70, 1), (33, 13, 2), (400, 1, 2), (1, 3, 2), (3, 500, 3)))
def test_stages(hand, numbers, assert_close, steps, rows, threads, is_ragged, with_row, reverse):
    active = np.array([max(0, rows - t) for t in range(steps)]) if is_ragged else None
    x, h, row = numbers(steps, rows, 21), numbers(steps + 1, rows, 70), numbers(rows, 70)
    w, out = numbers(70, 21), numbers.empty(steps, rows, 70)
    middle = numbers.empty(steps, rows, 70)
    for t, n in enumerate(active if is_ragged else ()):
        x[t, n:] = np.nan
    hand.everywhere()
    hand.stage(0)
    tile = hand.tile(70)
    hand.form(tile, hand.memory(h, library.PREVIOUS))
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.point("add", hand.memory(middle, library.STEP), tile, hand.memory(h, library.NEW))
    hand.stage(1)
    result = hand.memory(out, library.STEP)
    if with_row:
        hand.point("mul", result, hand.memory(middle, library.STEP), hand.memory(row, library.ROW))
    else:
        hand.point("copy", result, hand.memory(middle, library.STEP))
    hand.run(steps, rows, active=active, threads=threads, reverse=reverse)
    expected = (x @ w.T + h[1:] + h[:-1]) * (row if with_row else 1)
    for t, n in enumerate(active if is_ragged else ()):
        expected[t, n:] = np.nan
    assert_close(out, expected, 4)


@pytest.mark.parametrize("by_rows", (0, 1))
@pytest.mark.parametrize("rows", (1, 3))
def test_few_rows(hand, numbers, assert_close, rows, by_rows):
    """Threads share the rows and split the units; a following by_rows stage reads all of them."""
    x, w, out = numbers(2, rows, 300), numbers(1111, 300, scale=0.1), numbers.empty(2, rows, 1111)
    total = numbers.empty(1111)
    hand.everywhere()
    hand.stage(0)
    tile, result = hand.tile(1111), hand.memory(out, library.STEP)
    hand.form(tile, -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.point("exp", result, tile)
    hand.stage(by_rows)
    hand.point("mul", result, result, hand.constant(2.0))
    hand.point("accumulate", hand.sums(total), result)
    hand.run(2, rows, threads=2)
    expected = 2 * np.exp(x @ w.T)
    assert_close(out, expected, 8)
    assert_close(total, expected.sum((0, 1)), 8)


@pytest.mark.parametrize("slot", (library.ROLL_NEW, library.ROLL_PREVIOUS, library.ROW))
def test_refusals(hand, numbers, slot):
    out = numbers(2, 3, 5)
    hand.everywhere()
    hand.stage(0)
    hand.point("copy", hand.memory(out, slot), hand.constant(1.0))
    with pytest.raises(RecellError, match="everywhere phase cannot"):
        hand.run(2, 3)
