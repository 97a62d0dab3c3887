"""How numbers are scaled before a network reads them: minus the training examples' mean, divided by their deviation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.numbers import check_finite
from recell.errors import ModelError

Values = NDArray[np.float32]


def scale_of(mean: NDArray[np.float64], square: NDArray[np.float64]) -> tuple[Values, Values]:
    """Mean and deviation, out of the means of values and of their squares; what never varied is divided by 1."""
    variance = np.maximum(square - mean**2, 0)
    deviation = np.asarray(np.where(variance > 1e-12 * square, np.sqrt(variance), 1), np.float32)
    return np.asarray(mean, np.float32), np.where(deviation > 0, deviation, np.float32(1))  # 1e-50 is 0 in float32


def scaled(values: NDArray[Any], mean: Values, deviation: Values, where: str) -> Values:
    """Values less the mean, divided by the deviation; DataError where one is then too large for a network."""
    with np.errstate(over="ignore"):  # said below
        found = (values.astype(np.float32) - mean) / deviation
    check_finite(found, where, scaled=True)
    return found


def scale_in(described: Mapping[str, Any], damaged: ModelError) -> tuple[Values, Values]:
    """Mean and deviation as a codec wrote them; raises `damaged` where they are none, or nothing can be divided by them."""
    try:
        mean, deviation = (np.array(described[name], np.float32) for name in ("mean", "deviation"))
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    if mean.shape != deviation.shape or not (np.isfinite(mean) & np.isfinite(deviation) & (deviation > 0)).all():
        raise damaged
    return mean, deviation
