"""Is a derivation right? Central differences say so without knowing it.

By Taylor's theorem, for a small step e along one number w,

    L(w + e) = L + e L' + e^2 L'' / 2 + O(e^3)
    L(w - e) = L - e L' + e^2 L'' / 2 + O(e^3)

so that in (L(w + e) - L(w - e)) / (2 e) = L' + O(e^2) the term with L'' cancels. Rounding adds about 1e-16 |L| / e:
a step of 1e-5 leaves about 1e-10 of both in float64. A kink (relu at 0) within e of w is seen as a wrong gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.checks import Array, floats
from recell.errors import DataError, message

STEP = 1e-5
ROUNDING = 1e-4  # gradients under this share of the loss count against it: differences say no more about them


def central_differences(loss: Callable[[], float], array: Array, *, step: float = STEP) -> Array:
    """dL/darray by two evaluations a number, of the array's shape.

    `loss` reads `array`, which is float64 and changed in place while this runs; afterwards it holds the very
    bits that it held before.

    >>> w = np.array([3.0])
    >>> central_differences(lambda: float(w[0] ** 2), w).round(6).tolist()
    [6.0]
    """
    slopes = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        try:
            array[index] = kept + step
            above = loss()
            array[index] = kept - step
            below = loss()
        finally:
            array[index] = kept
        slopes[index] = (above - below) / (2 * step)
    return slopes


def gradient_check(
    loss: Callable[[], float],
    parameters: Mapping[str, Array],
    gradients: Mapping[str, ArrayLike],
    *,
    step: float = STEP,
    tolerance: float | None = 1e-6,
) -> dict[str, float]:
    """The error of each gradient against central differences, relative to the largest number in it, by name.

    `loss` takes nothing and reads `parameters`, which must be float64 arrays that can be written; `gradients` has
    an entry for each. Raises DataError with the place of the worst number where an error is above `tolerance`
    (None only measures), and ShapeError where a gradient is not of its parameter's shape.
    """
    errors: dict[str, float] = {}
    for name, array in parameters.items():
        if name not in gradients:
            raise DataError(message(f"the gradient of {name} is missing", came=", ".join(gradients) or "none"))
        if not isinstance(array, np.ndarray) or array.dtype != np.float64 or not array.flags.writeable:
            raise DataError(message(f"{name} is not a float64 array that can be changed", came=type(array).__name__))
        derived = floats(f"the gradient of {name}", gradients[name], array.shape)
        measured = central_differences(loss, array, step=step)
        errors[name] = _compared(name, derived, measured, ROUNDING * abs(loss()), tolerance)
    return errors


def _compared(name: str, derived: Array, measured: Array, least: float, tolerance: float | None) -> float:
    if not derived.size:
        return 0.0
    scale = max(float(np.abs(measured).max()), least)
    errors = np.abs(derived - measured) / (scale or 1.0)
    worst = tuple(int(i) for i in np.unravel_index(errors.argmax(), errors.shape))  # NaN is the worst of all
    if tolerance is not None and not errors[worst] <= tolerance:
        raise DataError(message(f"the gradient of {name} at {worst} is not that of the loss", came=f"{derived[worst]:.9g}",
                                write=f"{measured[worst]:.9g}, by central differences"))
    return float(errors[worst])
