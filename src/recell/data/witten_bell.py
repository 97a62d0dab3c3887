r"""An n-gram with interpolated Witten-Bell smoothing: the plain counting model a network has to beat.

P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)), where c counts in the training text, T(h) is the number
of distinct symbols seen after h, and h' is h without its oldest symbol; below the unigram stands the uniform
distribution. Witten & Bell, "The zero-frequency problem", IEEE Transactions on Information Theory, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recell.errors import DataError

Numbers = NDArray[np.int64]
_NEVER = -1  # the number of a context that the training text does not contain


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length. A code is (number of the context) * vocabulary size + last symbol."""

    codes: Numbers  # (n-grams,), sorted; an index is the n-gram's number as a context of the next order
    counts: Numbers  # (n-grams,): c(h w)
    totals: Numbers  # (contexts,): c(h)
    types: Numbers  # (contexts,): T(h)


class WittenBell:
    """An n-gram of a given order over symbols 0 .. vocabulary_size - 1.

    >>> model = WittenBell(2, vocabulary_size=3).fit(np.array([0, 1, 0, 1, 2]))
    >>> model.probabilities(np.array([0, 1])).round(4).tolist()
    [0.375, 0.7917]
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        if order < 1 or vocabulary_size < 1:
            raise DataError(f"order and vocabulary_size count from 1; {order} and {vocabulary_size} came")
        self.order = order
        self.vocabulary_size = vocabulary_size
        self._orders: list[_Order] = []

    def fit(self, numbers: Numbers) -> WittenBell:
        """Count the n-grams of a text of symbols, (length,)."""
        self._orders = []
        contexts = np.zeros(len(numbers), np.int64)
        contexts_known = 1
        for _ in range(self.order):
            seen = contexts != _NEVER
            codes, found, counts = np.unique(
                contexts[seen] * self.vocabulary_size + numbers[seen], return_inverse=True, return_counts=True
            )
            owners = codes // self.vocabulary_size
            totals = np.bincount(owners, weights=counts, minlength=contexts_known).astype(np.int64)
            self._orders.append(_Order(codes, counts, totals, np.bincount(owners, minlength=contexts_known)))
            endings = np.full(len(numbers), _NEVER, np.int64)
            endings[seen] = found
            contexts, contexts_known = _contexts_after(endings), len(codes)
        return self

    def probabilities(self, numbers: Numbers) -> NDArray[np.float64]:
        """The probability of each symbol of a text after those before it, (length,)."""
        if not self._orders:
            raise DataError("this n-gram has counted nothing yet; call fit(numbers) first")
        probability = np.full(len(numbers), 1.0 / self.vocabulary_size)
        contexts = np.zeros(len(numbers), np.int64)
        for order in self._orders:
            endings = self._endings(order, contexts, numbers)
            counts = np.where(endings == _NEVER, 0, order.counts[endings])
            totals = np.where(contexts == _NEVER, 0, order.totals[contexts])
            types = np.where(contexts == _NEVER, 0, order.types[contexts])
            known = totals > 0
            mixed = (counts + types * probability) / np.maximum(totals + types, 1)
            probability = np.where(known, mixed, probability)
            contexts = _contexts_after(endings)
        return probability

    def nats(self, numbers: Numbers) -> float:
        """The mean negative log probability of a text, in nats per symbol."""
        return float(-np.log(self.probabilities(numbers)).mean())

    def _endings(self, order: _Order, contexts: Numbers, numbers: Numbers) -> Numbers:
        """The number of the n-gram ending at each place, or _NEVER."""
        codes = contexts * self.vocabulary_size + numbers
        index = np.minimum(np.searchsorted(order.codes, codes), len(order.codes) - 1)
        return np.where((contexts != _NEVER) & (order.codes[index] == codes), index, _NEVER)


def _contexts_after(endings: Numbers) -> Numbers:
    """The context of a place is the n-gram that ends just before it; the first place has none."""
    return np.concatenate([np.array([_NEVER]), endings[:-1]])
