"""Batches of like length: every example once an epoch, found again by the position alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from recell.data.buckets import Buckets, in_batches
from recell.errors import DataError


class Reread:
    """A source that is no list: read in its own order, every time from the start."""

    def __init__(self, examples: list[str]) -> None:
        self.examples, self.times = examples, 0

    def __iter__(self) -> Iterator[str]:
        self.times += 1
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)


def words(count: int, seed: int = 0) -> list[str]:
    lengths = np.random.default_rng(seed).integers(0, 40, count)
    return [f"{number}:" + "x" * length for number, length in enumerate(lengths)]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(("count", "batch", "pool"), [(101, 8, 3), (24, 8, 3), (5, 8, 2), (1, 1, 1)])
def test_an_epoch_has_every_example_once(count: int, batch: int, pool: int, listed: bool) -> None:
    examples = words(count)
    buckets = Buckets(examples if listed else Reread(examples), len, batch_size=batch, pool=pool)
    epochs = [[buckets.next() for _ in range(buckets.steps_per_epoch)] for _ in range(3)]
    for batches in epochs:
        assert Counter(e for b in batches for e in b) == Counter(examples) and all(len(b) <= batch for b in batches)
    assert buckets.epoch == 3
    if count > 8:
        assert epochs[0] != epochs[1]


@pytest.mark.parametrize("listed", [True, False])
def test_the_position_alone_says_what_comes(listed: bool) -> None:
    examples = words(57)
    source = examples if listed else Reread(examples)
    one = Buckets(source, len, batch_size=4, seed=-3, pool=2)
    whole = [one.next() for _ in range(40)]
    for start in (0, 1, 7, 15, 29):
        other = Buckets(source, len, batch_size=4, seed=-3, pool=2)
        other.position = start
        assert [other.next() for _ in range(40 - start)] == whole[start:]
    assert [Buckets(source, len, batch_size=4, seed=4, pool=2).next() for _ in range(3)] != whole[:3]


def test_like_lengths_meet() -> None:
    buckets = Buckets(words(4000), len, batch_size=16)
    spans = [max(map(len, b)) - min(map(len, b)) for b in (buckets.next() for _ in range(200))]
    assert np.mean(spans) < 2
    batch = buckets.next()
    assert batch == sorted(batch, key=len, reverse=True)


def test_a_source_is_read_once_an_epoch() -> None:
    source = Reread(words(100))
    buckets = Buckets(source, len, batch_size=10)
    for _ in range(20):
        buckets.next()
    assert source.times == 2


def test_in_batches_keeps_every_place() -> None:
    examples = words(53)
    found = in_batches(examples, len, 7)
    assert sorted(place for places, _ in found for place in places) == list(range(53))
    assert all(examples[place] == e for places, batch in found for place, e in zip(places, batch, strict=True))


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="no example"):
        Buckets([], len, batch_size=3)
