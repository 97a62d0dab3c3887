"""Coins: the counter generator's very bits, keyed by row number, unit and step, in every split."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library


def mix(v):
    v = v ^ (v >> np.uint32(16))
    v = v * np.uint32(0x7FEB352D)
    v = v ^ (v >> np.uint32(15))
    v = v * np.uint32(0x846CA68B)
    return v ^ (v >> np.uint32(16))


def coins(seed, layer, direction, number, rows, units, step, rate):
    """(rows, units) of 0.0 / 1.0, from the definition."""
    h = np.uint32(0x9E3779B9)
    with np.errstate(over="ignore"):
        for key in (seed & 0xFFFFFFFF, seed >> 32, layer, direction, number):
            h = mix(h ^ np.uint32(key))
        h = mix(h ^ rows.astype(np.uint32)[:, None])
        h = mix(h ^ np.arange(units, dtype=np.uint32)[None])
        h = mix(h ^ np.uint32(step))
    return (h.astype(np.float64) < np.floor(rate * 2.0**32)).astype(float)


@pytest.mark.parametrize("where", ("loop", "everywhere"))
@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("by_rows", (0, 1))
@pytest.mark.parametrize("per_step", (0, 1))
def test_coins(hand, numbers, assert_same, where, threads, by_rows, per_step):
    steps, rows, units, seed = 9, 230, 133, 0x123456789ABCDEF0
    out, names = numbers.empty(steps, rows, units), np.random.default_rng(1).permutation(1000)[:rows]
    hand.loop(0) if where == "loop" else hand.everywhere()
    hand.stage(by_rows)
    hand.point("coin", hand.memory(out, library.STEP), b=hand.constant(0.3), immediate=5 * 2 + per_step)
    hand.run(steps, rows, seed=seed, layer=2, direction=1, row_numbers=names, threads=threads, reverse=True)
    expected = [coins(seed, 2, 1, 5, names, units, t if per_step else 0, 0.3) for t in range(steps)]
    assert_same(out, np.array(expected).astype(hand.dtype))


@pytest.mark.parametrize("rate", (0.0, 0.5, 1.0))
def test_rate(hand, numbers, rate):
    out = numbers.empty(1, 200, 300)
    hand.everywhere()
    hand.stage(0)
    hand.point("coin", hand.memory(out, library.STEP), b=hand.constant(rate))
    hand.run(1, 200)
    assert abs(out.mean() - rate) < (1e-9 if rate in (0, 1) else 0.01)
