"""A step of AdamW in the native runtime, on NumPy arrays and torch tensors alike."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_double, c_int64, c_void_p
from typing import Any, NamedTuple

from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.library import check, load, share_team, thread_count


class AdamWTensor(ctypes.Structure):
    """`rc_adamw_tensor`."""

    _fields_ = [
        ("value", c_void_p),
        ("gradient", c_void_p),
        ("mean", c_void_p),
        ("square", c_void_p),
        ("step", c_void_p),
        ("count", c_int64),
        ("rate", c_double),
        ("decay", c_double),
    ]


class AdamWRates(ctypes.Structure):
    """`rc_adamw_rates`."""

    _fields_ = [("beta1", c_double), ("beta2", c_double), ("epsilon", c_double), ("clip", c_double)]


class Moved(NamedTuple):
    """One tensor and what is kept of it, all contiguous and of one dtype; `step` () float32 counts its steps."""

    value: Any
    gradient: Any
    mean: Any
    square: Any
    step: Any
    elements: int
    rate: float
    decay: float


def adamw(tensors: Sequence[Moved], *, beta1: float, beta2: float, epsilon: float, clip: float = 0.0) -> None:
    """One step of each tensor, in place; all gradients together scaled down first to the norm `clip`, 0: as they are.

    The gradients themselves stay as they are.
    """
    if not tensors:
        return
    address = arrays.address
    rows = (AdamWTensor * len(tensors))()
    for row, t in zip(rows, tensors, strict=True):
        row.value, row.gradient, row.mean, row.square = address(t.value), address(t.gradient), address(t.mean), address(t.square)
        row.step, row.count, row.rate, row.decay = address(t.step), t.elements, t.rate, t.decay
    share_team()
    rates = AdamWRates(beta1, beta2, epsilon, clip)
    check(load().rc_adamw(int(tensors[0].value.itemsize == 8), thread_count(), len(rows), rows, ctypes.byref(rates)))
