"""Guards: rows that are not due go without a product, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError

RANDOM = np.random.default_rng(3)
PATTERNS = {
    "all": lambda steps, rows: np.ones((steps, rows)),
    "none": lambda steps, rows: np.zeros((steps, rows)),
    "whole steps": lambda steps, rows: np.repeat(np.arange(steps)[:, None] % 3 == 1, rows, 1),
    "some rows": lambda steps, rows: np.repeat(np.arange(rows)[None] % 11 < 6, steps, 0),
    "here and there": lambda steps, rows: RANDOM.random((steps, rows)) < 0.3,
}


def guard_stream(due, when, dtype):
    """(steps, rows, 1): numbers that say when a row is due, of either sign of saying it."""
    return np.where(due == when, -2.5, 0.0).astype(dtype)[..., None]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("when", (True, False))
@pytest.mark.parametrize(
    ("where", "by_rows", "rows"), (("loop", 0, 40), ("loop", 1, 1), ("loop", 0, 2), ("everywhere", 1, 40), ("everywhere", 0, 5))
)
def test_segments(hand, numbers, assert_close, where, by_rows, rows, when, threads, pattern):
    """Two guarded segments and a plain one: an operand is 0 where its guard does not hold, so the sum is the plain sum."""
    steps, units = 9, 75
    due, late = PATTERNS[pattern](steps, rows) > 0, PATTERNS["whole steps"](steps, rows)
    x, v, q, bias = numbers(steps, rows, 37), numbers(steps, rows, 50), numbers(steps, rows, 3), numbers(units)
    x[~due], v[~late] = 0, 0
    w, u, r, out = numbers(units, 37), numbers(50, units), numbers(units, 3), numbers.empty(steps, rows, units)
    guards = guard_stream(due, when, out.dtype), guard_stream(late, True, out.dtype)
    hand.loop(0) if where == "loop" else hand.everywhere()
    hand.stage(by_rows)
    hand.form(hand.memory(out, library.STEP), hand.memory(bias, library.VECTOR))
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.guard(hand.memory(guards[0], library.STEP), int(when))
    hand.segment(hand.weight(u, True), hand.memory(v, library.STEP))
    hand.guard(hand.memory(guards[1], library.STEP), 1)
    hand.segment(hand.weight(r), hand.memory(q, library.STEP))
    hand.run(steps, rows, threads=threads)
    assert_close(out, bias + x @ w.T + v @ u + q @ r.T, 4)


@pytest.mark.parametrize("initial", ("vector", "rows", "nothing"))
@pytest.mark.parametrize("units", (16, 75))
@pytest.mark.parametrize(
    ("where", "rows", "pattern"),
    (
        ("loop", 5, "whole steps"),
        ("loop", 1, "none"),
        ("loop", 33, "some rows"),
        ("everywhere", 8, "whole steps"),
        ("everywhere", 44, "some rows"),
    ),
)
def test_rows_that_are_not_due_are_not_computed(hand, numbers, assert_close, where, rows, pattern, units, initial):
    """What is NaN at such rows does not show, and what their sum starts from is their result."""
    steps = 7
    due = PATTERNS[pattern](steps, rows) > 0
    x, start, w, out = numbers(steps, rows, 9), numbers(steps, rows, units), numbers(units, 9), numbers.empty(steps, rows, units)
    bias, guard = numbers(units), guard_stream(due, True, out.dtype)
    x[~due] = np.nan
    hand.loop(0) if where == "loop" else hand.everywhere()
    hand.stage(0)
    first = {
        "vector": lambda: hand.memory(bias, library.VECTOR),
        "rows": lambda: hand.memory(start, library.STEP),
        "nothing": lambda: -1,
    }
    hand.form(hand.memory(out, library.STEP), first[initial]())
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.guard(hand.memory(guard, library.STEP), 1)
    hand.run(steps, rows)
    from_there = {"vector": bias, "rows": start, "nothing": 0}[initial]
    assert_close(out, from_there + np.where(due[..., None], x @ w.T, 0))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("is_ragged", (False, True))
def test_in_halves(make_hand, pattern, is_ragged):
    """In bf16 a guarded sum is the plain one of the same rounded operands, but for the order of its terms."""
    steps, rows, units = 6, 30, 50
    due = PATTERNS[pattern](steps, rows) > 0
    random = np.random.default_rng(5)
    x, v = (random.normal(size=(steps, rows, n)).astype(np.float32) for n in (37, 11))
    w, u = (random.normal(size=(units, n)).astype(np.float32) for n in (37, 11))
    x[~due] = 0
    active = np.array([30, 30, 17, 16, 3, 1]) if is_ragged else None
    found = []
    for guarded in (True, False):
        hand, out = make_hand(np.float32, halves=True), np.zeros((steps, rows, units), np.float32)
        hand.loop(0)
        hand.stage(0)
        hand.form(hand.memory(out, library.STEP), -1)
        hand.segment(hand.weight(w), hand.memory(x, library.STEP))
        if guarded:
            hand.guard(hand.memory(guard_stream(due, True, np.float32), library.STEP), 1)
        hand.segment(hand.weight(u), hand.memory(v, library.STEP))
        hand.run(steps, rows, active=active)
        found.append(out)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=2e-5 * np.abs(found[1]).max())


@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("is_ragged", (False, True))
def test_pairs(hand, numbers, assert_close, threads, is_ragged):
    """Pairs with two guards and with none share their operands; a row that a guard keeps out is not read."""
    steps, rows = 60, 23
    active = np.array([max(1, rows - t // 2) for t in range(steps)]) if is_ragged else np.full(steps, rows)
    a, b, c = numbers(steps, rows, 53), numbers(steps, rows, 70), numbers(steps, rows, 11)
    due, other = PATTERNS["here and there"](steps, rows), PATTERNS["whole steps"](steps, rows)
    a[~due & other], c[~other] = np.nan, np.nan
    results = [numbers.empty(53, 70), numbers.empty(11, 70), numbers.empty(70, 70)]
    hand.outer()
    left, right, third = (hand.memory(array, library.STEP) for array in (a, b, c))
    hand.product(left, right, results[0])
    hand.guard(hand.memory(guard_stream(due | ~other, False, a.dtype), library.STEP), 0)
    hand.product(third, right, results[1])
    hand.guard(hand.memory(guard_stream(other, True, a.dtype), library.STEP), 1)
    hand.product(right, right, results[2])
    hand.run(steps, rows, threads=threads, active=active if is_ragged else None)
    valid = np.arange(rows)[None] < active[:, None]
    for found, left, keep in zip(results, (a, c, b), (due | ~other, other, valid), strict=True):
        keep = (keep & valid)[..., None]
        assert_close(
            found, np.where(keep, left, 0).reshape(-1, left.shape[-1]).T.astype(float) @ np.where(keep, b, 0).reshape(-1, 70), 100
        )


def test_what_can_not_be_a_guard(hand, numbers):
    x, wide, w, out = numbers(2, 3, 1), numbers(2, 3, 5), numbers(5, 5), numbers.empty(2, 3, 5)
    hand.loop(0)
    guard = hand.memory(x, library.STEP)
    with pytest.raises(RecellError, match="no stage"):
        hand.guard(guard, 1)
    hand.stage(0)
    with pytest.raises(RecellError, match="no segment"):
        hand.guard(guard, 1)
    hand.form(hand.memory(out, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(wide, library.STEP))
    with pytest.raises(RecellError, match="of width 1"):
        hand.guard(hand.memory(wide, library.STEP), 1)
    hand.guard(guard, 1)
    hand.point("copy", guard, hand.constant(1.0))
    with pytest.raises(RecellError, match="in one stage"):
        hand.run(2, 3)
