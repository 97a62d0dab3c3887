"""Weight gradients and accumulators: sums over the valid rows and steps alone."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError


def ragged(steps, rows):
    return np.array([max(1, rows - 2 * t) for t in range(steps)])


def valid_sum(a, b, active):
    total = np.zeros((a.shape[-1], b.shape[-1]))
    for t in range(len(a)):
        n = a.shape[1] if active is None else active[t]
        total += a[t, :n].T.astype(np.float64) @ b[t, :n]
    return total


def spoil(array, active):
    for t, n in enumerate(active if active is not None else ()):
        array[t, n:] = np.nan


@pytest.mark.parametrize("is_ragged", (False, True))
@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize(
    ("steps", "rows", "wide_a", "wide_b"),
    ((1, 1, 1, 1), (3, 5, 7, 70), (40, 23, 53, 133), (9, 50, 200, 3), (50, 9, 3, 300)),
)
def test_pairs(hand, numbers, assert_close, steps, rows, wide_a, wide_b, threads, is_ragged):
    """Two pairs share a, two share b; one of the results is a part of a wider matrix."""
    active = ragged(steps, rows) if is_ragged else None
    a, b, c = numbers(steps, rows, wide_a), numbers(steps, rows, wide_b), numbers(steps, rows, 11)
    for array in (a, b, c):
        spoil(array, active)
    ab, ac, cb = numbers.empty(wide_a, wide_b), numbers.empty(wide_a, 20), numbers.empty(11, wide_b)
    hand.outer()
    left, right, third = (hand.memory(array, library.STEP) for array in (a, b, c))
    hand.product(left, right, ab)
    hand.pair(left, third, hand.find(ac), 4, 20)
    hand.product(third, right, cb)
    hand.run(steps, rows, active=active, threads=threads)
    scale = 4 * np.sqrt(steps * rows)
    assert_close(ab, valid_sum(a, b, active), scale)
    assert_close(ac[:, 4:15], valid_sum(a, c, active), scale)
    assert_close(cb, valid_sum(c, b, active), scale)
    assert np.isnan(ac[:, :4]).all() and np.isnan(ac[:, 15:]).all()


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("is_ragged", (False, True))
def test_slots(hand, numbers, assert_close, reverse, is_ragged):
    """The state before the step, the state after it, and one row for all steps."""
    steps, rows = 6, 14
    active = ragged(steps, rows) if is_ragged else None
    d, h, row = numbers(steps, rows, 17), numbers(steps + 1, rows, 31), numbers(rows, 5)
    before, after, still = numbers.empty(17, 31), numbers.empty(17, 31), numbers.empty(17, 5)
    hand.outer()
    a = hand.memory(d, library.STEP)
    hand.product(a, hand.memory(h, library.PREVIOUS), before)
    hand.product(a, hand.memory(h, library.NEW), after)
    hand.product(a, hand.memory(row, library.ROW), still)
    hand.run(steps, rows, reverse=reverse, active=active)
    assert_close(before, valid_sum(d, h[1:] if reverse else h[:-1], active), 20)
    assert_close(after, valid_sum(d, h[:-1] if reverse else h[1:], active), 20)
    assert_close(still, valid_sum(d, np.broadcast_to(row, (steps, rows, 5)), active), 20)


def test_nothing_to_sum(hand, numbers, assert_same):
    a, c = numbers(0, 3, 5), numbers.empty(5, 5)
    hand.outer()
    operand = hand.memory(a, library.STEP)
    hand.product(operand, operand, c)
    hand.run(0, 3)
    assert_same(c, np.zeros_like(c))


@pytest.mark.parametrize("is_ragged", (False, True))
@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("where", ("loop", "everywhere"))
@pytest.mark.parametrize("by_rows", (0, 1))
def test_accumulators(hand, numbers, assert_close, where, by_rows, threads, is_ragged):
    """A vector's gradient; a scalar's, summed over units too; a row scalar's, counted once. Written, not added."""
    steps, rows, wide = 8, 300, 150  # enough for several threads
    active = ragged(steps, rows) if is_ragged else None
    x, s = numbers(steps, rows, wide), numbers(steps, rows, 1)
    spoil(x, active)
    spoil(s, active)
    vector, scalar, of_rows = numbers.empty(wide), numbers.empty(1), numbers.empty(1)
    hand.loop(0) if where == "loop" else hand.everywhere()
    hand.stage(by_rows)
    operand = hand.memory(x, library.STEP)
    for array, source in ((vector, operand), (scalar, operand), (of_rows, hand.memory(s, library.STEP))):
        hand.point("accumulate", hand.sums(array), source)
    hand.run(steps, rows, active=active, threads=threads)
    zeroed = np.nan_to_num(x.astype(np.float64))
    assert_close(vector, zeroed.sum((0, 1)), 20)
    assert_close(scalar, zeroed.sum()[None], 400)
    assert_close(of_rows, np.nan_to_num(s.astype(np.float64)).sum()[None], 40)


def test_accumulator_of_two_phases(hand, numbers):
    x, out = numbers(2, 3, 5), numbers.empty(5)
    total, operand = hand.sums(out), hand.memory(x, library.STEP)
    for _ in range(2):
        hand.everywhere()
        hand.stage(0)
        hand.point("accumulate", total, operand)
    with pytest.raises(RecellError, match="two phases"):
        hand.run(2, 3)
