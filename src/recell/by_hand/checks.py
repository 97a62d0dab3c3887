"""What comes in, looked at once: arrays of the right shape, token ids that exist, parameters by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recell.errors import DataError, ShapeError, message, unknown, whole

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Shape = tuple[int | str, ...]  # a letter stands for any size


def floats(name: str, value: ArrayLike, shape: Shape) -> Array:
    """`value` in float64, of this shape. Raises DataError if it is not numbers, ShapeError if it is of another shape.

    >>> floats("x", [[1, 2]], ("T", 3))
    Traceback (most recent call last):
        ...
    recell.errors.ShapeError: x has another shape; came (1, 2); write (T, 3)
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(message(f"{name} is not an array of numbers", came=error, write=f"shape {_written(shape)}")) from None
    fits = len(shape) == array.ndim and all(isinstance(s, str) or s == n for s, n in zip(shape, array.shape, strict=True))
    if not fits:
        raise ShapeError(message(f"{name} has another shape", came=array.shape, write=_written(shape)))
    return array


def optional(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """`value` of this shape, or zeros where it is None: what is not given is 0."""
    return np.zeros(shape) if value is None else floats(name, value, shape)


def zeros(count: int, shape: tuple[int, ...]) -> list[Array]:
    """`count` arrays to be filled."""
    return [np.zeros(shape) for _ in range(count)]


def integers(name: str, value: ArrayLike, count: int, dimensions: int) -> Integers:
    """Token ids from 0 to `count` - 1. Raises DataError for anything else, ShapeError for other dimensions."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(message(f"{name} is not one array of token ids", came=error, write="integers")) from None
    if array.ndim != dimensions:
        raise ShapeError(message(f"{name} has {dimensions} dimension(s)", came=array.shape))
    if array.size and array.dtype.kind not in "iu":
        raise DataError(message(f"{name} holds token ids", came=f"dtype {array.dtype}", write="integers"))
    if array.size and not 0 <= array.min() <= array.max() < count:
        raise DataError(message(f"{name} holds an id that does not exist", came=f"{array.min()} to {array.max()}",
                                write=f"ids from 0 to {count - 1}"))
    return array.astype(np.int64)


def size_of(parameters: Mapping[str, Any], name: str) -> tuple[int, int]:
    """(rows, columns) of the matrix that says how wide a network is."""
    if name not in parameters:
        raise DataError(message(f"the parameter {name} is missing", came=", ".join(parameters) or "none"))
    rows, columns = floats(name, parameters[name], ("rows", "columns")).shape
    return rows, columns


def named(parameters: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The parameters in float64, exactly those of `shapes`. Raises DataError for names, ShapeError for shapes."""
    if missing := [name for name in shapes if name not in parameters]:
        raise DataError(message(f"the parameter {missing[0]} is missing", came=", ".join(parameters) or "none",
                                write=f"{missing[0]} of shape {_written(shapes[missing[0]])}"))
    if strange := [name for name in parameters if name not in shapes]:
        raise DataError(unknown("parameter", strange[0], shapes))
    return {name: floats(name, parameters[name], shape) for name, shape in shapes.items()}


def chosen(what: str, name: str, choices: Mapping[str, Any]) -> Any:
    """The entry of a table. Raises DataError for a name that is not in it."""
    if name not in choices:
        raise DataError(unknown(what, str(name), choices))
    return choices[name]


def count(name: str, value: object, *, least: int) -> int:
    """A whole number of at least `least`; anything else raises DataError."""
    return whole(name, value, least=least, error=DataError)


def _written(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
