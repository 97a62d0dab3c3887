"""Forms: sums of matrix products at odd sizes, in both kinds of stages, in loops and everywhere, into tiles and memory."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError

SIZES = (
    (1, 1, 1),
    (1, 5, 3),
    (2, 17, 64),
    (3, 64, 65),
    (5, 31, 130),
    (6, 7, 200),
    (7, 100, 16),
    (33, 129, 71),
    (200, 20, 40),
)


@pytest.mark.parametrize("transposed", (False, True))
@pytest.mark.parametrize(("rows", "depth", "units"), SIZES)
def test_product(hand, numbers, assert_close, rows, depth, units, transposed):
    x, out = numbers(rows, depth), numbers.empty(rows, units)
    weight = numbers(depth, units) if transposed else numbers(units, depth)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(out, library.STEP), -1)
    hand.segment(hand.weight(weight, transposed), hand.memory(x, library.STEP))
    hand.run(1, rows)
    assert_close(out, x @ (weight if transposed else weight.T))


@pytest.mark.parametrize("by_rows", (0, 1))
@pytest.mark.parametrize("where", ("loop", "everywhere"))
def test_sum_of_segments(hand, numbers, assert_close, where, by_rows):
    """A bias, two operands, one of them columns of a wider row; the result goes to memory of its own row length."""
    steps, rows = 3, 11
    x, v, bias = numbers(steps, rows, 37), numbers(steps, rows, 50), numbers(75)
    w, u = numbers(75, 37), numbers(29, 75)
    out = numbers.empty(steps, rows, 80)
    hand.loop(0) if where == "loop" else hand.everywhere()
    hand.stage(by_rows)
    hand.form(hand.memory(out, library.STEP, 3, 75), hand.memory(bias, library.VECTOR))
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.segment(hand.weight(u, True), hand.memory(v, library.STEP, 11, 29))
    hand.run(steps, rows)
    assert_close(out[..., 3:78], bias + x @ w.T + v[..., 11:40] @ u)
    assert np.isnan(out[..., :3]).all() and np.isnan(out[..., 78:]).all()


@pytest.mark.parametrize("initial", ("memory", "constant", "nothing"))
def test_initial(hand, numbers, assert_close, initial):
    x, start, w, out = numbers(9, 21), numbers(9, 70), numbers(70, 21), numbers.empty(9, 70)
    hand.everywhere()
    hand.stage(0)
    first = {
        "memory": lambda: hand.memory(start, library.STEP),
        "constant": lambda: hand.constant(1.5),
        "nothing": lambda: -1,
    }
    hand.form(hand.memory(out, library.STEP), first[initial]())
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.run(1, 9)
    assert_close(out, {"memory": start, "constant": 1.5, "nothing": 0}[initial] + x @ w.T)


def test_tiles_and_points(hand, numbers, assert_close):
    """Two tiles of one stage, combined by its points; a tile may be overwritten."""
    rows = 41
    x, w, u, out = numbers(rows, 23), numbers(100, 23), numbers(100, 23), numbers.empty(rows, 100)
    hand.everywhere()
    hand.stage(0)
    a, b, source = hand.tile(100), hand.tile(100), hand.memory(x, library.STEP)
    hand.form(a, -1)
    hand.segment(hand.weight(w), source)
    hand.form(b, hand.constant(0.25))
    hand.segment(hand.weight(u), source)
    hand.point("tanh", a, a)
    hand.point("mul", hand.memory(out, library.STEP), a, b)
    hand.run(1, rows)
    assert_close(out, np.tanh(x @ w.T) * (0.25 + x @ u.T))


def test_by_rows_chain(hand, numbers, assert_close):
    """Forms of different widths in one by_rows stage; the second reads what the first wrote; then a softmax."""
    rows = 29
    x, w, u = numbers(rows, 13), numbers(70, 13), numbers(9, 70)
    middle, out = numbers.empty(rows, 70), numbers.empty(rows, 9)
    hand.everywhere()
    hand.stage(1)
    inner, outer = hand.memory(middle, library.STEP), hand.tile(9)
    hand.form(inner, -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.form(outer, -1)
    hand.segment(hand.weight(u), inner)
    hand.point("softmax", hand.memory(out, library.STEP), outer)
    hand.run(1, rows)
    logits = x @ w.T @ u.T
    e = np.exp(logits - logits.max(1, keepdims=True))
    assert_close(out, e / e.sum(1, keepdims=True), 8)


def test_kept_packs(hand, numbers, native, assert_close):
    """keep_packs uses what an earlier run packed, whatever the weights have become."""
    x, w, out = numbers(5, 19), numbers(33, 19), numbers.empty(5, 33)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(out, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    packs = native.rc_alloc(hand.program.pack_bytes())
    hand.run(1, 5, packs=packs)
    expected = x @ w.T
    w[:] = 0
    out[:] = np.nan
    hand.run(1, 5, packs=packs, keep_packs=True)
    assert_close(out, expected)
    hand.run(1, 5)
    assert_close(out, 0 * expected)
    native.rc_free(packs)


def test_nan_stays_in_its_row(hand, numbers):
    x, w, out = numbers(13, 19), numbers(70, 19), numbers.empty(13, 70)
    x[4, 2] = np.nan
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(out, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.run(1, 13)
    np.testing.assert_array_equal(np.isnan(out).any(1), np.arange(13) == 4)


def test_refusals(hand, numbers):
    x, w, out = numbers(5, 19), numbers(33, 19), numbers(5, 33)
    hand.everywhere()
    hand.stage(0)
    with pytest.raises(RecellError, match="takes 19 values, the operand has 18"):
        hand.form(hand.memory(out, library.STEP), -1)
        hand.segment(hand.weight(w), hand.memory(x, library.STEP, 0, 18))
    with pytest.raises(RecellError, match="whole tile"):
        hand.form(hand.view(hand.tile(40), 3, 33), -1)
    with pytest.raises(RecellError, match="gives 33 values, the destination has 32"):
        hand.form(hand.tile(32), -1)
        hand.segment(hand.weight(w), hand.memory(x, library.STEP))


def test_segment_written_by_its_stage(hand, numbers):
    x, w = numbers(5, 19), numbers(19, 19)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(x, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    with pytest.raises(RecellError, match="read by a segment and written"):
        hand.run(1, 5)
