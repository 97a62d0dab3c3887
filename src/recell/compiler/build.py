"""The one door to the backends: a cell, numbers for its sizes, a backend's name -> a Kernel."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from recell.compiler import backends as _backends
from recell.errors import CellError, unknown
from recell.language.cell import Cell

Array = Any  # NumPy or torch, as the backend says


@dataclass(frozen=True)
class Variant:
    """What the steps must handle; part of what a kernel is built for."""

    training: bool = False  # coins are drawn; otherwise their expectation
    mask: bool = False  # a (T, N) stream of 0/1: 0 holds the state
    reset: bool = False  # a (T, N) stream of 0/1: 1 at t: the state that enters t is the initial one
    input_gradient: bool = True


@dataclass(frozen=True)
class Coins:
    """The key of the counter-based generator; `rows` are the rows' numbers before sorting (None: 0..N-1), `first_step` is the
    number of the call's first step, where it runs a part of a sequence."""

    seed: int
    layer: int
    direction: int
    rows: Array | None = None
    first_step: int = 0


@dataclass
class Call:
    """One run over a sequence. Arrays are contiguous and of the kernel's dtype."""

    x: Array  # (T, N, input)
    states: tuple[Array, ...]  # (N, size) each, in the cell's order; time is (N, 1)
    parameters: tuple[Array, ...]  # leaf parameters in the cell's order
    reverse: bool = False  # t = T-1 .. 0; y[t] belongs to x[t] all the same
    active: Array | None = None  # (T,) whole numbers: rows [0, active[t]) are valid at t; non-increasing
    mask: Array | None = None  # (T, N)
    reset: Array | None = None  # (T, N)
    elapsed: Array | None = None  # (T, N)
    coins: Coins | None = None


@dataclass
class Forward:
    """y (T, N, output), the last states (N, size), and what the backward step needs."""

    y: Array
    states: tuple[Array, ...]
    saved: Any = None


@dataclass
class Gradients:
    """Of x (None where it was not asked for), of the initial states, of the leaf parameters (None where frozen)."""

    x: Array | None
    states: tuple[Array, ...]
    parameters: tuple[Array | None, ...]


class Kernel(Protocol):
    """What every backend makes of a cell."""

    def forward(self, call: Call, *, save: bool) -> Forward:
        """Runs a sequence; with `save`, keeps in the result what `backward` needs. ShapeError where the call does not fit."""
        ...

    def backward(self, saved: Any, dy: Array, dstates: tuple[Array, ...]) -> Gradients:
        """Gradients from those of y (T, N, output) and of the last states (N, size); `saved` is the forward pass's."""
        ...

    def trace(self, call: Call) -> dict[str, Array]:
        """Every named local and every state's new value by its name, (T, N, size) each; CellError where no gate is kept."""
        ...


def forward_all(kernel: Kernel, calls: Sequence[Call], *, save: bool) -> list[Forward]:
    """The forward passes of calls that know nothing of each other, such as two directions: at once where the kernel can."""
    at_once = getattr(kernel, "forward_all", None)
    return at_once(calls, save=save) if at_once else [kernel.forward(call, save=save) for call in calls]


def backward_all(kernel: Kernel, saved: Sequence[Any], seeds: Sequence[tuple[Array, tuple[Array, ...]]]) -> list[Gradients]:
    """Their gradients; `seeds` are (dy, dstates) of each."""
    at_once = getattr(kernel, "backward_all", None)
    return at_once(saved, seeds) if at_once else [kernel.backward(s, *seed) for s, seed in zip(saved, seeds, strict=True)]


def backends() -> tuple[str, ...]:
    """The names of the backends: the folders in compiler/backends."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(_backends.__path__) if m.ispkg))


def build(cell: Cell, sizes: Mapping[str, int], *, backend: str, dtype: str = "float32",
          variant: Variant = Variant()) -> Kernel:
    """The cell's kernel for these sizes, made once and kept.

    Raises CellError for an unknown backend or where the backend can't run this cell or dtype.
    """
    return _build(cell, tuple(sorted(sizes.items())), backend, dtype, variant)


def build_named(cell: Cell, sizes: Mapping[str, int], *, backend: str, dtype: str = "float32",
                variant: Variant = Variant()) -> Kernel:
    """A kernel made for this very cell and not kept: equal cells share the kernel of `build`, and with it one's names."""
    return _make(cell, sizes, backend, dtype, variant)


@lru_cache(maxsize=512)
def _build(cell: Cell, sizes: tuple[tuple[str, int], ...], backend: str, dtype: str, variant: Variant) -> Kernel:
    return _make(cell, dict(sizes), backend, dtype, variant)


def _make(cell: Cell, sizes: Mapping[str, int], backend: str, dtype: str, variant: Variant) -> Kernel:
    if backend not in backends():
        raise CellError(unknown("backend", backend, backends()))
    module = importlib.import_module(f"{_backends.__name__}.{backend}.backend")
    if dtype not in module.DTYPES:
        raise CellError(f"the {backend} backend runs {', '.join(module.DTYPES)}; came {dtype}; "
                        f"write dtype={module.DTYPES[0]!r} or another backend: {', '.join(backends())}")
    return module.make(cell, sizes, dtype, variant)
