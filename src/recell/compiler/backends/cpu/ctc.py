"""The CTC loss in the native runtime, on NumPy arrays and torch tensors alike."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.library import check, load, share_team, thread_count


class CtcArguments(ctypes.Structure):
    """`rc_ctc_call`."""

    _fields_ = [
        ("dtype", c_int),
        ("threads", c_int),
        ("steps", c_int64),
        ("rows", c_int64),
        ("classes", c_int64),
        ("log_y", c_void_p),
        ("targets", c_void_p),
        ("target_offsets", c_void_p),
        ("target_lengths", c_void_p),
        ("input_lengths", c_void_p),
        ("blank", c_int64),
        ("finite", c_int),
        ("losses", c_void_p),
        ("gradient", c_void_p),
    ]


@dataclass(frozen=True)
class Sequences:
    """What is read: log_y (T, N, C), log-probabilities; the labels of all sequences, int64; three times (N,) int64. Contiguous.

    A sequence's labels begin at its offset; they are 0..C-1 without ``blank``. ``finite``: a loss that is infinite, because the
    steps are too few for the labels, is 0.
    """

    log_y: Any
    targets: Any
    target_offsets: Any
    target_lengths: Any
    input_lengths: Any
    blank: int = 0
    finite: bool = False


def ctc_loss(given: Sequences, *, gradient: bool = False) -> tuple[Any, Any]:
    """The loss of every sequence (N,) and, where it is asked for, exp(log_y) - gamma (T, N, C), else None.

    RecellError, with the library's line, for labels and lengths that do not fit.
    """
    log_y = given.log_y
    steps, rows, classes = log_y.shape
    losses, found = arrays.empty(log_y, (rows,)), arrays.empty(log_y, (steps, rows, classes)) if gradient else None
    names = ("log_y", "targets", "target_offsets", "target_lengths", "input_lengths")
    read = {name: arrays.address(getattr(given, name)) for name in names}
    share_team()
    call = CtcArguments(
        dtype=int(log_y.itemsize == 8), threads=thread_count(), steps=steps, rows=rows, classes=classes, blank=given.blank,
        finite=given.finite, losses=arrays.address(losses), gradient=None if found is None else arrays.address(found), **read,
    )  # fmt: skip
    check(load().rc_ctc_loss(ctypes.byref(call)))
    return losses, found
