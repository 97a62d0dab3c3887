"""How numbers are scaled before a network reads them: minus the training examples' mean, divided by their deviation.

Means are kept, and subtracted, in float64: a network's float32 has no digits left for what varies beside a large offset (time
stamps, pressures). Only what is left after it becomes float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.numbers import check_finite
from recell.errors import ModelError

Means = NDArray[np.float64]
Values = NDArray[np.float32]
_LEAST = 1e-12  # of the mean: a deviation below it may be the rounding of float64's sums


class Moments:
    """Mean and variance of values that come in chunks, found so that an offset costs no digits (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        self.count, self.mean = 0, np.zeros(())
        self._squares = np.zeros(())  # of the distances from the mean, summed

    def add(self, rows: NDArray[Any]) -> None:
        """Take in rows, at least one: (N, ...)."""
        values = rows.astype(np.float64)
        mean = values.mean(0)
        self._join(len(values), mean, ((values - mean) ** 2).sum(0))

    def pooled(self) -> Moments:
        """Those of the values of all columns together, ()."""
        found, mean = Moments(), self.mean.mean()
        found._join(self.count, mean, (self._squares + self.count * (self.mean - mean) ** 2).mean())
        return found

    def scale(self) -> tuple[Means, Values]:
        """Mean and deviation; what never varied is divided by 1."""
        deviation = np.sqrt(self._squares / self.count)
        varied = np.asarray(np.where(deviation > _LEAST * np.abs(self.mean), deviation, 1), np.float32)
        return np.asarray(self.mean), np.where(varied > 0, varied, np.float32(1))  # 1e-50 is 0 in float32

    def _join(self, count: int, mean: NDArray[Any], squares: NDArray[Any]) -> None:
        whole, away = self.count + count, mean - self.mean
        self._squares = self._squares + squares + away**2 * (self.count * count / whole)
        self.mean, self.count = self.mean + away * (count / whole), whole


def reduced(values: NDArray[Any], mean: Means, deviation: Values) -> Values:
    """Values less the mean, divided by the deviation; infinite where float32 does not hold it."""
    with np.errstate(over="ignore"):
        return np.asarray((values.astype(np.float64) - mean) / deviation, np.float32)


def scaled(values: NDArray[Any], mean: Means, deviation: Values, where: str) -> Values:
    """As `reduced`; DataError where a value is then too large for a network."""
    found = reduced(values, mean, deviation)
    check_finite(found, where, scaled=True)
    return found


def scale_in(described: Mapping[str, Any], damaged: ModelError) -> tuple[Means, Values]:
    """Mean and deviation as a codec wrote them; raises `damaged` where they are none, or nothing can be divided by them."""
    try:
        mean, deviation = np.array(described["mean"], np.float64), np.array(described["deviation"], np.float32)
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    if mean.shape != deviation.shape or not (np.isfinite(mean) & np.isfinite(deviation) & (deviation > 0)).all():
        raise damaged
    return mean, deviation
