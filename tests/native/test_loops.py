"""Time loops against NumPy: both orders, both directions, ragged batches, states that enter and leave, rolling states."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library

RAGGED = {"full": None, "ragged": "some", "empty rows": "few"}


def active_of(kind, steps, rows):
    if RAGGED[kind] is None:
        return None
    lengths = np.linspace(steps, 0 if kind == "empty rows" else 1, rows).astype(int)
    return np.array([(lengths > t).sum() for t in range(steps)])


def elman(hand, numbers, steps, rows, inputs, hidden, roll, backward=0):
    """h = tanh(W x + U h + b), states in T+1 slots or rolling; y always in T slots. Returns the arrays."""
    arrays = {
        "x": numbers(steps, rows, inputs),
        "W": numbers(hidden, inputs, scale=0.3),
        "U": numbers(hidden, hidden, scale=0.7 / hidden**0.5),
        "b": numbers(hidden),
        "first": numbers(rows, hidden),
        "last": numbers.empty(rows, hidden),
        "y": numbers.empty(steps, rows, hidden),
        "h": numbers.empty(2 if roll else steps + 1, rows, hidden),
    }
    new, previous = (library.ROLL_NEW, library.ROLL_PREVIOUS) if roll else (library.NEW, library.PREVIOUS)
    hand.loop(backward)
    state, before = hand.memory(arrays["h"], new), hand.memory(arrays["h"], previous)
    hand.state(hand.memory(arrays["first"], library.ROW), before, state, hand.memory(arrays["last"], library.ROW))
    hand.stage(0)
    total = hand.tile(hidden)
    hand.form(total, hand.memory(arrays["b"], library.VECTOR))
    hand.segment(hand.weight(arrays["W"]), hand.memory(arrays["x"], library.STEP))
    hand.segment(hand.weight(arrays["U"]), before)
    hand.point("tanh", state, total)
    hand.point("copy", hand.memory(arrays["y"], library.STEP), state)
    return arrays


def elman_numpy(arrays, active, descending):
    steps, rows = arrays["x"].shape[:2]
    active = [rows] * steps if active is None else active
    h, y = arrays["first"].astype(np.float64), np.full(arrays["y"].shape, np.nan)
    for t in reversed(range(steps)) if descending else range(steps):
        n = active[t]
        h = h.copy()
        h[:n] = np.tanh(arrays["x"][t, :n] @ arrays["W"].T + h[:n] @ arrays["U"].T + arrays["b"])
        y[t, :n] = h[:n]
    return y, h


@pytest.mark.parametrize("kind", RAGGED)
@pytest.mark.parametrize("roll", (False, True))
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("backward", (0, 1))
@pytest.mark.parametrize("threads", (1, 2))
def test_elman(hand, numbers, assert_close, kind, roll, reverse, backward, threads):
    """A forward loop follows the cell's direction, a backward one runs against it. NEW and PREVIOUS follow the cell."""
    if backward and not roll:
        pytest.skip("a backward loop's own states do not lie in the cell's slots")
    steps, rows, inputs, hidden = 7, 29, 19, 71
    arrays = elman(hand, numbers, steps, rows, inputs, hidden, roll, backward)
    active = active_of(kind, steps, rows)
    for t, n in enumerate(active if active is not None else ()):
        arrays["x"][t, n:] = np.nan
    hand.run(steps, rows, reverse=reverse, active=active, threads=threads)
    y, last = elman_numpy(arrays, active, reverse != bool(backward))
    assert_close(arrays["y"], y, 4)
    assert_close(arrays["last"], last, 4)


@pytest.mark.parametrize(("rows", "hidden"), ((1, 256), (3, 200), (4, 517)))
def test_units_split(hand, numbers, assert_close, rows, hidden):
    """Few rows: the threads share them and split the units, meeting after every stage."""
    arrays = elman(hand, numbers, 9, rows, 45, hidden, True)
    hand.run(9, rows, threads=2)
    y, last = elman_numpy(arrays, None, False)
    assert_close(arrays["y"], y, 8)
    assert_close(arrays["last"], last, 8)


@pytest.mark.parametrize("kind", RAGGED)
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize(("rows", "hidden"), ((1, 71), (2, 256), (4, 33), (5, 200)))
@pytest.mark.parametrize("steps", (3, 103))
def test_products_computed_ahead(hand, numbers, assert_close, kind, reverse, threads, rows, hidden, steps):
    """Few rows: what needs no state is computed for many steps at once, blocks of which end anywhere in the sequence."""
    arrays = elman(hand, numbers, steps, rows, 37, hidden, True)
    active = active_of(kind, steps, rows)
    for t, n in enumerate(active if active is not None else ()):
        arrays["x"][t, n:] = np.nan
    hand.run(steps, rows, reverse=reverse, active=active, threads=threads)
    y, last = elman_numpy(arrays, active, reverse)
    assert_close(arrays["y"], y, 16)
    assert_close(arrays["last"], last, 16)


@pytest.mark.parametrize("by_rows", (0, 1))
@pytest.mark.parametrize("threads", (1, 2))
def test_forms_that_are_ready_before_the_loop(hand, numbers, assert_close, by_rows, threads):
    """h = tanh(a + x W) * (k + z V) + U h: forms of given inputs alone, one from a stream; z is the same at all steps."""
    steps, rows, inputs, hidden = 31, 2, 21, 50
    x, z, a = numbers(steps, rows, inputs), numbers(rows, 5), numbers(steps, rows, hidden)
    w, v = numbers(hidden, inputs, scale=0.3), numbers(hidden, 5, scale=0.3)
    u, first, last = numbers(hidden, hidden, scale=0.5 / hidden**0.5), numbers(rows, hidden), numbers.empty(rows, hidden)
    h = numbers.empty(2, rows, hidden)
    hand.loop(0)
    new, previous = hand.memory(h, library.ROLL_NEW), hand.memory(h, library.ROLL_PREVIOUS)
    hand.state(hand.memory(first, library.ROW), previous, new, hand.memory(last, library.ROW))
    hand.stage(by_rows)
    one, two, three = (hand.tile(hidden) for _ in range(3))
    hand.form(one, hand.memory(a, library.STEP))
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.form(two, hand.constant(1.5))
    hand.segment(hand.weight(v), hand.memory(z, library.ROW))
    hand.form(three, -1)
    hand.segment(hand.weight(u), previous)
    hand.point("tanh", one, one)
    hand.point("mul_add", new, one, two, three)
    hand.run(steps, rows, threads=threads)
    expected = first.astype(np.float64)
    for t in range(steps):
        expected = np.tanh(a[t] + x[t] @ w.T) * (1.5 + z @ v.T) + expected @ u.T
    assert_close(last, expected, 16)


def test_weights_that_fill_the_cache(hand, numbers, assert_close):
    """Beyond what L3 keeps at hand, products are computed ahead for many rows too."""
    arrays = elman(hand, numbers, 4, 43, 2000, 1200, True)
    hand.run(4, 43, threads=2)
    y, last = elman_numpy(arrays, None, False)
    assert_close(arrays["y"], y, 16)
    assert_close(arrays["last"], last, 16)


@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("shift", (0, 1))
def test_scan(hand, numbers, assert_close, threads, reverse, shift):
    """No product in the loop: units run through all steps by themselves, unless one reads its neighbour's state (`shift`)."""
    steps, rows, hidden = 400, 2, 333
    a, b, first = numbers(steps, rows, hidden, scale=0.5), numbers.empty(steps, rows, hidden), numbers(rows, hidden + shift)
    x, w = numbers(steps, rows, 200), numbers(hidden, 200, scale=0.1)  # work enough that the threads split the units
    last, total, h = numbers.empty(rows, hidden + shift), numbers.empty(hidden), numbers.empty(2, rows, hidden + shift)
    hand.everywhere()
    hand.stage(0)
    hand.form(hand.memory(b, library.STEP), -1)
    hand.segment(hand.weight(w), hand.memory(x, library.STEP))
    hand.loop(0)
    new, previous = hand.memory(h, library.ROLL_NEW), hand.memory(h, library.ROLL_PREVIOUS)
    hand.state(hand.memory(first, library.ROW), previous, new, hand.memory(last, library.ROW))
    hand.stage(0)
    own, before = hand.memory(h, library.ROLL_NEW, 0, hidden), hand.memory(h, library.ROLL_PREVIOUS, shift, hidden)
    hand.point("mul_add", own, hand.memory(a, library.STEP), before, hand.memory(b, library.STEP))
    hand.point("accumulate", hand.sums(total), own)
    if shift:
        hand.stage(0)
        end = hand.memory(h, library.ROLL_NEW, hidden, 1)
        hand.point("copy", end, hand.memory(h, library.ROLL_PREVIOUS, hidden, 1))
    hand.run(steps, rows, reverse=reverse, threads=threads)
    state, summed = first.astype(np.float64), 0.0
    for t in reversed(range(steps)) if reverse else range(steps):
        state = np.concatenate([a[t] * state[:, shift:][:, :hidden] + x[t].astype(np.float64) @ w.T, state[:, hidden:]], 1)
        summed = summed + state[:, :hidden].sum(0)
    assert_close(last, state, 8)
    assert_close(total, summed, 64)


def test_no_steps(hand, numbers, assert_same):
    arrays = elman(hand, numbers, 0, 5, 3, 7, True)
    hand.run(0, 5)
    assert_same(arrays["last"], arrays["first"])


@pytest.mark.parametrize("initial", ("constant", "vector"))
def test_initial_state(hand, numbers, assert_close, initial):
    """A running sum that starts at a constant or a vector, in one row slot read and written in place."""
    x, h, last, start = numbers(5, 9, 17), numbers.empty(9, 17), numbers.empty(9, 17), numbers(17)
    hand.loop(0)
    state = hand.memory(h, library.ROW)
    first = hand.constant(2.5) if initial == "constant" else hand.memory(start, library.VECTOR)
    hand.state(first, state, state, hand.memory(last, library.ROW))
    hand.stage(0)
    hand.point("add", state, state, hand.memory(x, library.STEP))
    hand.run(5, 9)
    assert_close(last, x.sum(0) + (2.5 if initial == "constant" else start))


def test_two_stages(hand, numbers, assert_close):
    """GRU with the reset before the product: the second stage's form reads what the first stage wrote."""
    steps, rows, hidden = 6, 12, 130
    x, first, last = numbers(steps, rows, hidden), numbers(rows, hidden), numbers.empty(rows, hidden)
    u_r, u_n = (
        numbers(hidden, hidden, scale=0.7 / hidden**0.5),
        numbers(hidden, hidden, scale=0.7 / hidden**0.5),
    )
    h, reset = numbers.empty(2, rows, hidden), numbers.empty(rows, hidden)
    hand.loop(0)
    new, previous = hand.memory(h, library.ROLL_NEW), hand.memory(h, library.ROLL_PREVIOUS)
    hand.state(hand.memory(first, library.ROW), previous, new, hand.memory(last, library.ROW))
    hand.stage(0)
    r, product = hand.tile(hidden), hand.memory(reset, library.ROW)
    hand.form(r, -1)
    hand.segment(hand.weight(u_r), previous)
    hand.point("sigmoid", r, r)
    hand.point("mul", product, r, previous)
    hand.stage(0)
    n = hand.tile(hidden)
    hand.form(n, hand.memory(x, library.STEP))
    hand.segment(hand.weight(u_n), product)
    hand.point("tanh", new, n)
    expected = first.astype(np.float64)
    for t in range(steps):
        expected = np.tanh(x[t] + (expected / (1 + np.exp(-expected @ u_r.T))) @ u_n.T)
    for threads in (1, 2, 3, 5):
        last[:] = np.nan
        hand.run(steps, rows, threads=threads)
        assert_close(last, expected, 4)


def test_time_counter(hand, numbers, assert_same):
    """A row scalar beside wide units: it is advanced once, whatever the number of slabs, and splat reads it."""
    steps, rows, wide = 5, 6, 150
    first, t_buffer = np.arange(rows, dtype=hand.dtype)[:, None].copy(), numbers.empty(steps + 1, rows, 1)
    out = numbers.empty(steps, rows, wide)
    hand.loop(0)
    before, after = hand.memory(t_buffer, library.PREVIOUS), hand.memory(t_buffer, library.NEW)
    hand.state(hand.memory(first, library.ROW), before, after, -1)
    hand.stage(0)
    hand.point("add", after, before, hand.constant(1.0))
    hand.point("splat", hand.memory(out, library.STEP), before)
    hand.run(steps, rows)
    expected = first[None] + np.arange(steps)[:, None, None]
    assert_same(out, np.broadcast_to(expected, out.shape).astype(hand.dtype).copy())
