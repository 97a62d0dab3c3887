"""Rows of numbers of different lengths, kept one after the other: a padded table of any of them is one gather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Ragged:
    """A growing list of int64 rows."""

    def __init__(self) -> None:
        self._flat, self._starts, self._lengths = (np.zeros(0, np.int64) for _ in range(3))
        self._new: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self._lengths) + len(self._new)

    def append(self, row: NDArray[np.int64]) -> None:
        """One row more."""
        self._new.append(row)

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How long the rows of these numbers are."""
        self._gather()
        return self._lengths[numbers]

    def padded(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of these numbers as the columns of one table (longest, rows), at least one step; 0 beyond their ends."""
        lengths, starts = self.lengths(numbers), self._starts[numbers]
        steps = np.arange(max(1, int(lengths.max(initial=0))))[:, None]
        inside = steps < lengths
        table = np.zeros(inside.shape, np.int64)
        table[inside] = self._flat[(steps + starts)[inside]]
        return table

    def _gather(self) -> None:
        """Take in what was appended since the last time."""
        if self._new:
            self._flat = np.concatenate([self._flat, *self._new])
            self._lengths = np.concatenate([self._lengths, [len(row) for row in self._new]])
            self._starts = np.cumsum(self._lengths) - self._lengths
            self._new = []


def side_by_side(rows: Sequence[NDArray[np.int64]], fill: int = 0) -> NDArray[np.int64]:
    """Rows, at least one, as the columns of one table (longest, rows), `fill` beyond their ends."""
    lengths = np.array([len(row) for row in rows])
    table = np.full((len(rows), lengths.max()), fill, np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return np.ascontiguousarray(table.T)
