"""Scans and what stands beside them go through the steps block by block, weight gradients too where rows are many."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library

STEPS, ROWS, INPUT, HIDDEN, WIDE = 613, 14, 19, 37, 70  # rows enough that each of three parts sums its own


def active_rows(is_ragged):
    return np.array([max(1, ROWS - t // 60) for t in range(STEPS)]) if is_ragged else np.full(STEPS, ROWS)


def scan_numpy(x, w, a, first, active, reverse):
    """h = a h + W x of the rows that run; the states before and after each step, NaN where a row is idle."""
    before, after = np.full((2, STEPS, ROWS, HIDDEN), np.nan)
    state = first.astype(np.float64)
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        n = active[t]
        before[t, :n] = state[:n]
        state[:n] = a * state[:n] + x[t, :n].astype(np.float64) @ w.T
        after[t, :n] = state[:n]
    return before, after


def valid_sum(a, b, active):
    return sum(a[t, :n].astype(np.float64).T @ b[t, :n] for t, n in enumerate(active))


@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("is_ragged", (False, True))
def test_weight_gradients_beside_a_scan(hand, numbers, assert_close, threads, reverse, is_ragged):
    """Of what the scan makes, of its state before and after the step, of a row for all steps, and where a number is not 0."""
    active = active_rows(is_ragged)
    x, w, v = numbers(STEPS, ROWS, INPUT), numbers(HIDDEN, INPUT, scale=0.2), numbers(WIDE, HIDDEN, scale=0.2)
    a, first, still = numbers(HIDDEN, scale=0.3), numbers(ROWS, HIDDEN), numbers(ROWS, 5)
    due = (numbers(STEPS, ROWS, 1) > 0).astype(hand.dtype)
    for array in (x, due):
        for t, n in enumerate(active):
            array[t, n:] = np.nan
    h, made, y = numbers.empty(STEPS + 1, ROWS, HIDDEN), numbers.empty(STEPS, ROWS, HIDDEN), numbers.empty(STEPS, ROWS, WIDE)
    last, total = numbers.empty(ROWS, HIDDEN), numbers.empty(HIDDEN)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(made, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.loop(0)
    new, previous = hand.memory(h, library.NEW), hand.memory(h, library.PREVIOUS)
    hand.state(hand.memory(first, library.ROW), previous, new, hand.memory(last, library.ROW))
    hand.stage(0)
    own = hand.memory(made, library.STEP)
    hand.point("mul_add", own, hand.memory(a, library.VECTOR), previous, own)
    hand.point("copy", new, own)
    hand.point("accumulate_mul", hand.sums(total), own, previous)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(y, library.STEP), -1)
    hand.segment(hand.weight(v), own)
    hand.outer()
    inputs = hand.memory(x, library.STEP)
    pairs = [(own, inputs), (inputs, previous), (new, hand.memory(still, library.ROW)), (hand.memory(y, library.STEP), own)]
    sums = [numbers.empty(p, q) for p, q in ((HIDDEN, INPUT), (INPUT, HIDDEN), (HIDDEN, 5), (WIDE, HIDDEN))]
    for (left, right), array in zip(pairs, sums, strict=True):
        hand.product(left, right, array)
    guarded, columns = numbers.empty(HIDDEN, INPUT + 3), numbers.empty(INPUT, HIDDEN)
    hand.pair(own, inputs, hand.find(guarded), 2, INPUT + 3)
    hand.guard(hand.memory(due, library.STEP), 1)
    hand.product(inputs, new, columns)
    hand.run(STEPS, ROWS, threads=threads, reverse=reverse, active=active if is_ragged else None)

    before, after = scan_numpy(x, w, a, first, active, reverse)
    scale = 4 * np.sqrt(STEPS * ROWS)
    assert_close(total, sum((after[t, :n] * before[t, :n]).sum(0) for t, n in enumerate(active)), scale)
    assert_close(sums[0], valid_sum(after, x, active), scale)
    assert_close(sums[1], valid_sum(x, before, active), scale)
    assert_close(sums[2], valid_sum(after, np.broadcast_to(still, (STEPS, ROWS, 5)), active), scale)
    assert_close(sums[3], valid_sum(after @ v.T.astype(np.float64), after, active), scale)
    assert_close(guarded[:, 2:-1], valid_sum(after * (due != 0), x, active), scale)
    assert_close(columns, valid_sum(x, after, active), scale)
    assert np.isnan(guarded[:, :2]).all() and np.isnan(guarded[:, -1]).all()
