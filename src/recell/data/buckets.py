"""Batches of sequences of like length: shuffled, without end, and found again by one number.

Padding is what makes ragged batches slow. So examples are shuffled, sorted by length within a pool of many batches, cut into
batches, and the batches are shuffled: like lengths meet, and yet no epoch is like another. A batch's longest stands
first, as recurrent layers want it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from recell.errors import DataError

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
POOL = 50  # batches that are sorted together


class Source(Protocol[E_co]):
    """Examples that can be read again and again, and how many there are: a list, or a file that is read anew."""

    def __iter__(self) -> Iterator[E_co]:
        """The examples, always in the same order."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


class Buckets(Generic[E]):
    """The training batches of some examples, without end; ``position`` alone says where they stand.

    A list is shuffled as a whole every epoch. Any other source is read in its own order, a pool at a time, so that a file may
    be larger than memory; shuffled then is what lies within a pool. ``length`` says how long an example is.
    """

    def __init__(
        self, source: Source[E], length: Callable[[E], int], *, batch_size: int, seed: int = 0, pool: int = POOL
    ) -> None:
        if not len(source):
            raise DataError("there is nothing to train on; came no example")
        self._source, self._length, self._batch_size, self._seed = source, length, batch_size, seed
        self._pool = pool * batch_size
        self.position = 0  # batches handed out so far
        self._ahead: tuple[int, Iterator[list[E]]] | None = None  # the batches from a position on

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch has."""
        whole, rest = divmod(len(self._source), self._pool)
        return whole * (self._pool // self._batch_size) + -(-rest // self._batch_size)

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction."""
        return self.position / self.steps_per_epoch

    def next(self) -> list[E]:
        """The batch at ``position``, which moves on."""
        if self._ahead is None or self._ahead[0] != self.position:
            self._ahead = self.position, self._from(self.position)
        batch = next(self._ahead[1])
        self.position += 1
        self._ahead = self.position, self._ahead[1]
        return batch

    def _from(self, position: int) -> Iterator[list[E]]:
        epoch, skipped = divmod(position, self.steps_per_epoch)
        while True:
            for index, batch in enumerate(self._batches(epoch)):
                if index >= skipped:
                    yield batch
            epoch, skipped = epoch + 1, 0

    def _batches(self, epoch: int) -> Iterator[list[E]]:
        """The batches of one epoch."""
        rng = np.random.default_rng([self._seed & (2**64 - 1), epoch])
        for pool in in_windows(self._shuffled(rng), self._pool):
            pool = [pool[place] for place in rng.permutation(len(pool))]
            pool.sort(key=self._length, reverse=True)  # stable: examples of one length stay shuffled
            batches = [pool[start : start + self._batch_size] for start in range(0, len(pool), self._batch_size)]
            for place in rng.permutation(len(batches)):
                yield batches[place]

    def _shuffled(self, rng: np.random.Generator) -> Iterable[E]:
        if not isinstance(self._source, Sequence):
            return self._source
        return (self._source[place] for place in rng.permutation(len(self._source)))


def in_batches(examples: Sequence[E], length: Callable[[E], int], batch_size: int) -> list[tuple[list[int], list[E]]]:
    """All examples once, the like lengths together: (places, batch) pairs, to answer in the order in which they came."""
    order = sorted(range(len(examples)), key=lambda place: length(examples[place]), reverse=True)
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [(places, [examples[place] for place in places]) for places in cuts]


def in_windows(examples: Iterable[E], size: int) -> Iterator[list[E]]:
    """All examples once, as they come, `size` at a time; what a window was is let go before the next is read."""
    rest = iter(examples)
    while window := list(itertools.islice(rest, size)):
        yield window
        del window
