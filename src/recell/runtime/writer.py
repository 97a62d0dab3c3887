"""Reading and writing text in turn, on one session of a language model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from recell.data.drawing import generator_of
from recell.data.vocabulary import SPECIAL, START, Vocabulary
from recell.decoding.sample import Sampling, sample
from recell.runtime.session import Session

_NEVER_WRITTEN = tuple(range(len(SPECIAL)))  # they were no targets in training


class Writer:
    """Keeps one symbol that is known but not fed yet: writing feeds it and draws what follows."""

    def __init__(self, session: Session, vocabulary: Vocabulary, sampling: Sampling, seed: int | None = None) -> None:
        self._session = session
        self._vocabulary = vocabulary
        self._sampling = replace(sampling, forbidden=(*sampling.forbidden, *_NEVER_WRITTEN))
        self._generator = generator_of(seed)
        self._last = START

    def read(self, text: str) -> None:
        """Take ``text`` for what comes next; a symbol that the vocabulary lacks is fed as unknown."""
        numbers = [self._last, *self._vocabulary.encode(text).tolist()]
        if len(numbers) > 1:
            self._session.run(np.array(numbers[:-1])[:, None])
        self._last = numbers[-1]

    def write(self, length: int) -> Iterator[str]:
        """The text of ``length`` tokens more, each with the space before it, as soon as it is drawn."""
        previous = self._vocabulary.symbol(self._last)
        for symbol in self.symbols(length):
            yield self._vocabulary.separator(previous, symbol) + symbol
            previous = symbol

    def symbols(self, length: int) -> Iterator[str]:
        """``length`` tokens more, bare."""
        for number in sample(self._scores, [self._last], length, sampling=self._sampling, seed=self._generator):
            self._last = number
            yield self._vocabulary.symbol(number)

    def _scores(self, number: int):
        return self._session.step([number])[0]
