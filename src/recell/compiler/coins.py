"""The counter-based generator behind `coin`: the same coins on every backend, whatever the order of work.

A 32-bit mixing chain over (seed, layer, direction, op number, row, unit, step). The arithmetic stays in 64-bit integers
whose low half is kept, so that NumPy, torch and C++ agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LOW = 0xFFFFFFFF
START = 0x9E3779B9


def mix(value: Any) -> Any:
    """One round of 32-bit avalanche; works on Python ints, NumPy and torch int64."""
    value = value ^ (value >> 16)
    value = (value * 0x7FEB352D) & LOW
    value = value ^ (value >> 15)
    value = (value * 0x846CA68B) & LOW
    return value ^ (value >> 16)


def prefix(seed: int, layer: int, direction: int, op_number: int) -> int:
    """The part of the chain that is one number for all rows."""
    state = START
    for key in (seed & LOW, (seed >> 32) & LOW, layer, direction, op_number):
        state = mix(state ^ key)
    return state


def entries(start: int, shape: tuple[int, ...], arange: Callable[[int], Any], rate: float) -> Any:
    """Booleans for a parameter's entries: a matrix's row and column are the generator's row and unit."""
    rows = arange(shape[0])[:, None] if len(shape) == 2 else 0
    return heads(start, rows, arange(shape[-1] if shape else 1), 0, rate).reshape(shape)


def heads(start: int, rows: Any, units: Any, step: int, rate: float) -> Any:
    """Booleans, (N, size): rows is (N, 1), units (1, size), both int64; True with probability `rate`."""
    state = mix(mix(mix(start ^ rows) ^ units) ^ step)
    return state < int(rate * 4294967296.0)
