"""Output layer, softmax and cross-entropy in the native runtime, on NumPy arrays and torch tensors alike."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.library import check, load, share_team, thread_count


class LossArguments(ctypes.Structure):
    """`rc_loss_call`."""

    _fields_ = [
        ("dtype", c_int),
        ("threads", c_int),
        ("rows", c_int64),
        ("inputs", c_int64),
        ("classes", c_int64),
        ("x", c_void_p),
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("targets", c_void_p),
        ("ignored", c_int64),
        ("class_weights", c_void_p),
        ("smoothing", c_double),
        ("scale", c_void_p),
        ("losses", c_void_p),
        ("dx", c_void_p),
        ("dweight", c_void_p),
        ("dbias", c_void_p),
        ("chunk", c_int64),
    ]


@dataclass(frozen=True)
class Layer:
    """What is read: x (N, D), weight (V, D), targets (N,) int64, bias and class_weights (V,) or None; contiguous, of one dtype.

    A row whose target is ``ignored`` does not count. ``smoothing`` (0 to 1) is the part of a target that is spread over all
    classes. ``chunk``: how many rows' logits are held at once, 0 leaves it to the library.
    """

    x: Any
    weight: Any
    targets: Any
    bias: Any = None
    class_weights: Any = None
    ignored: int = -100
    smoothing: float = 0.0
    chunk: int = 0


@dataclass
class Losses:
    """losses (N,), and the gradients that were asked for."""

    losses: Any
    dx: Any = None
    dweight: Any = None
    dbias: Any = None

    def gradients(self) -> tuple[Any, Any, Any]:
        return self.dx, self.dweight, self.dbias


def linear_cross_entropy(layer: Layer, *, scale: Any = None, wanted: tuple[bool, bool, bool] = (False, False, False)) -> Losses:
    """The loss of every row and, of ``wanted`` = (x, weight, bias), the gradients of sum(scale * losses).

    scale (N,), None is ones: what a row's loss counts.
    RecellError, with the library's line, for a target that is no class.
    """
    x = layer.x
    (rows, inputs), classes = x.shape, layer.weight.shape[0]
    shapes = (tuple(x.shape), (classes, inputs), (classes,))
    gradients = [arrays.empty(x, shape) if want else None for shape, want in zip(shapes, wanted, strict=True)]
    found = Losses(arrays.empty(x, (rows,)), *gradients)
    read = {name: _address(getattr(layer, name)) for name in ("x", "weight", "bias", "targets", "class_weights")}
    written = {name: _address(getattr(found, name)) for name in ("losses", "dx", "dweight", "dbias")}
    sizes = {"rows": rows, "inputs": inputs, "classes": classes, "chunk": layer.chunk}
    share_team()
    call = LossArguments(dtype=int(x.itemsize == 8), threads=thread_count(), ignored=layer.ignored, smoothing=layer.smoothing,
                         scale=_address(scale), **sizes, **read, **written)  # fmt: skip
    check(load().rc_linear_cross_entropy(ctypes.byref(call)))
    return found


def _address(array: Any) -> int | None:
    return None if array is None else arrays.address(array)
