"""Numbers that a network can read: networks compute in float32, and a value that it does not hold is as bad as NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.errors import DataError, message

LARGEST = 1e30  # float32 ends at 3.4e38; beyond this its products with weights, and their sums, may be no number
_FILL = "fill it in, or leave it out"


def check_finite(values: NDArray[Any], where: str, *, step: str | None = None, scaled: bool = False) -> None:
    """DataError where a value is NaN or infinite, or float32 cannot reckon with it; `step` is what the first axis counts, where
    that is to be named, and `scaled` says that the values are no longer as the user gave them."""
    if values.dtype.kind != "f":
        return
    good = np.abs(values) <= LARGEST  # NaN is not
    if good.all():
        return
    at = tuple(np.argwhere(~good)[0].tolist())
    value, place = float(values[at]), where if step is None else f"{where}, {step} {at[0] + 1}"
    if not np.isfinite(value) and not scaled:
        raise DataError(f"{place} has a value that is no number; {_FILL}")
    said = f"{place} has a value that is too large{' beside those of training' * scaled}"
    raise DataError(message(said, came=f"{value:g}", write=f"values of at most {LARGEST:g}, such as in another unit"))
