"""The generator: the same coins in NumPy and torch, fair, and different for every part of the key."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recell.compiler.coins import entries, heads, mix, prefix

ROWS, UNITS = np.arange(200, dtype=np.int64)[:, None], np.arange(50, dtype=np.int64)[None]


def test_numpy_and_torch_draw_the_same() -> None:
    start = prefix(2**63 - 5, 3, 1, 2)
    drawn = heads(start, ROWS, UNITS, 7, 0.3)
    assert np.array_equal(drawn, heads(start, torch.from_numpy(ROWS), torch.from_numpy(UNITS), 7, 0.3).numpy())


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_the_rate_is_met(rate: float) -> None:
    share = np.mean([heads(prefix(seed, 0, 0, 0), ROWS, UNITS, 0, rate).mean() for seed in range(10)])
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / 1e5) + 1e-12


@pytest.mark.parametrize("other", [(2, 0, 0, 0), (1 + (1 << 40), 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)])
def test_every_part_of_the_key_counts(other: tuple[int, int, int, int]) -> None:
    first, second = (heads(prefix(*key), ROWS, UNITS, 0, 0.5) for key in ((1, 0, 0, 0), other))
    assert 0.45 < np.mean(first == second) < 0.55


def test_steps_rows_and_units_are_independent() -> None:
    drawn = np.stack([heads(prefix(9, 0, 0, 0), ROWS, UNITS, t, 0.5) for t in range(20)]).astype(float)
    for axis in range(3):
        a, b = np.delete(drawn, 0, axis), np.delete(drawn, -1, axis)
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02


def test_mixing_is_one_to_one_on_a_sample() -> None:
    values = mix(np.arange(100_000, dtype=np.int64))
    assert len(np.unique(values)) == 100_000 and values.min() >= 0 and values.max() <= 0xFFFFFFFF


@pytest.mark.parametrize("shape", [(), (7,), (4, 6)])
def test_entries_of_a_parameter(shape: tuple[int, ...]) -> None:
    start = prefix(5, 0, 0, 0)
    drawn = entries(start, shape, lambda n: np.arange(n, dtype=np.int64), 0.5)
    assert np.shape(drawn) == shape
    assert np.array_equal(drawn, entries(start, shape, torch.arange, 0.5).numpy())
