"""Figures of next frames against their definitions, by key and over all; sums of two parts are those of both."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recell.tasks import _frame_scores
from recell.tasks._frames import FrameCodec

RNG = np.random.default_rng(3)


def keys(count: int = 5) -> tuple[FrameCodec, list[tuple[np.ndarray, np.ndarray]]]:
    """Logits and frames of sequences; key 1 never sounds and is never foretold."""
    pairs = []
    for _ in range(count):
        said, truth = RNG.normal(0, 2, (RNG.integers(2, 7), 4)), RNG.random((9, 4)) < 0.4
        said[:, 1], truth[:, 1] = -3, False
        pairs.append((said.astype(np.float32), truth[: len(said)].astype(np.float32)))
    return FrameCodec("binary", np.zeros(4, np.float32), np.ones(4, np.float32)), pairs


def features() -> tuple[FrameCodec, list[tuple[np.ndarray, np.ndarray]]]:
    """Means and log deviations in the scale of training, and frames far from 0."""
    mean, deviation = np.float32([1000, -3]), np.float32([20, 0.5])
    pairs = []
    for length in (2, 5, 3):
        said = RNG.normal(size=(length, 4)).astype(np.float32)
        pairs.append((said, (mean + deviation * RNG.normal(size=(length, 2))).astype(np.float32)))
    return FrameCodec("real", mean, deviation), pairs


def rows_of(table: str) -> dict[str, list[str]]:
    return {row.split()[0]: row.split()[1:] for row in table.splitlines()}


def test_of_keys() -> None:
    codec, pairs = keys()
    said, truth = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    p = 1 / (1 + np.exp(-said))
    nats = -np.log(np.where(truth > 0, p, 1 - p))
    sums = _frame_scores.counts(codec, pairs)
    both, either = ((p > 0.5) & (truth > 0)).sum(), ((p > 0.5) | (truth > 0)).sum()
    found = _frame_scores.figures_of("binary", sums)
    assert found == pytest.approx({"nll_per_step": nats.sum(1).mean(), "frame_accuracy": both / either})
    table = rows_of(_frame_scores.report("binary", sums))
    assert list(table) == ["key", "0", "2", "3", "all"]
    for name, part in (("0", slice(0, 1)), ("3", slice(3, 4)), ("all", slice(None))):
        right = ((p > 0.5) & (truth > 0))[:, part].sum()
        there, came = (truth > 0)[:, part].sum(), (p > 0.5)[:, part].sum()
        wanted = [right / came, right / there, 2 * right / (there + came), there, nats[:, part].sum(1).mean()]
        np.testing.assert_allclose([float(cell) for cell in table[name]], wanted, atol=6e-5)


def test_of_features_in_their_own_units() -> None:
    codec, pairs = features()
    said, truth = (np.concatenate(parts).astype(np.float64) for parts in zip(*pairs, strict=True))
    mean, deviation = said[:, :2] * codec.deviation + codec.mean, np.exp(said[:, 2:]) * codec.deviation
    nats = (truth - mean) ** 2 / (2 * deviation**2) + np.log(deviation * math.sqrt(2 * math.pi))
    sums = _frame_scores.counts(codec, pairs)
    found = _frame_scores.figures_of("real", sums)
    assert found == pytest.approx({"nll_per_step": nats.sum(1).mean(), "rmse": np.sqrt(((truth - mean) ** 2).mean())})
    table = rows_of(_frame_scores.report("real", sums))
    assert list(table) == ["feature", "0", "1"]
    for feature in range(2):
        error = np.sqrt(((truth - mean)[:, feature] ** 2).mean())
        wanted = [nats[:, feature].mean(), error, truth[:, feature].std()]
        np.testing.assert_allclose([float(cell) for cell in table[str(feature)]], wanted, rtol=1e-4, atol=6e-5)


@pytest.mark.parametrize("made", [keys, features])
def test_parts_add_up(made) -> None:
    codec, pairs = made()
    whole, one, two = (_frame_scores.counts(codec, part) for part in (pairs, pairs[:2], pairs[2:]))
    for name in whole:
        np.testing.assert_allclose(one[name] + two[name], whole[name], rtol=1e-9)


def test_a_probability_beyond_what_floats_hold_costs_what_it_says() -> None:
    codec = FrameCodec("binary", np.zeros(1, np.float32), np.ones(1, np.float32))
    sums = _frame_scores.counts(codec, [(np.float32([[-300], [300]]), np.float32([[1], [1]]))])
    assert _frame_scores.figures_of("binary", sums) == {"nll_per_step": 150, "frame_accuracy": 0.5}
