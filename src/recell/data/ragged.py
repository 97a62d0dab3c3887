"""Rows of numbers of different lengths, kept one after the other: a padded table of any of them is one gather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Ragged:
    """A growing list of int64 rows; a new one costs no copy of those before it."""

    def __init__(self) -> None:
        self._flat, self._ends = np.zeros(0, np.int64), np.zeros(1, np.int64)  # larger than what they hold
        self._count = 0
        self._new: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return self._count + len(self._new)

    def append(self, row: NDArray[np.int64]) -> None:
        """One row more."""
        self._new.append(row)

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How long the rows of these numbers are."""
        self._gather()
        return self._ends[numbers + 1] - self._ends[numbers]

    def cut(self, count: int) -> None:
        """Keep the first `count` rows alone."""
        self._gather()
        self._count = min(count, self._count)
        flat, ends = self._flat, self._ends
        self._ends = ends[: self._count + 1].copy()
        self._flat = flat[: self._ends[-1]].copy()

    def padded(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of these numbers as the columns of one table (longest, rows), at least one step; 0 beyond their ends."""
        lengths, starts = self.lengths(numbers), self._ends[numbers]
        steps = np.arange(max(1, int(lengths.max(initial=0))))[:, None]
        inside = steps < lengths
        table = np.zeros(inside.shape, np.int64)
        table[inside] = self._flat[(steps + starts)[inside]]
        return table

    def _gather(self) -> None:
        """Take in what was appended since the last time."""
        if self._new:
            begun, ends = self._ends[self._count], np.cumsum([len(row) for row in self._new])
            self._flat = _put(self._flat, int(begun), np.concatenate(self._new))
            self._ends = _put(self._ends, self._count + 1, begun + ends)
            self._count, self._new = self._count + len(self._new), []


def _put(held: NDArray[np.int64], place: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`values` written at `place` of a buffer, or of one twice as large where they do not fit."""
    if place + len(values) > len(held):
        larger = np.zeros(2 * (place + len(values)), np.int64)
        larger[:place] = held[:place]
        held = larger
    held[place : place + len(values)] = values
    return held


def side_by_side(rows: Sequence[NDArray[np.int64]], fill: int = 0) -> NDArray[np.int64]:
    """Rows, at least one, as the columns of one table (longest, rows), `fill` beyond their ends."""
    return in_columns(np.concatenate(rows), np.array([len(row) for row in rows]), fill)


def in_columns(flat: NDArray[np.int64], lengths: NDArray[np.int64], fill: int = 0) -> NDArray[np.int64]:
    """As `side_by_side`, of rows that lie one after the other."""
    table = np.full((len(lengths), lengths.max()), fill, np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = flat
    return np.ascontiguousarray(table.T)
