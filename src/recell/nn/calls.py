"""What one call of a layer brings, as torch has it and as a kernel takes it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recell.compiler.build import Call, Coins
from recell.errors import ShapeError
from recell.nn.tensors import plain

Counts = NDArray[np.int64]


class Streams(NamedTuple):
    """What one call brings beside x, the states and the parameters. Nothing in it is differentiated."""

    lengths: Tensor | None = None  # (N,) int64, non-increasing
    active: Counts | None = None  # (T,) rows still running at t; None where torch is compiling
    mask: Tensor | None = None  # (T, N) in x's dtype, as are the next two
    reset: Tensor | None = None
    elapsed: Tensor | None = None
    seed: Tensor | None = None  # () int64; there only when a cell with coins is trained
    rows: Tensor | None = None  # (N,) int64, the row numbers before sorting

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Everything that an operator is given; it counts the active rows itself."""
        return self.lengths, self.mask, self.reset, self.elapsed, self.seed, self.rows


class Place(NamedTuple):
    """Where in the stack a runner works: its coins depend on it."""

    layer: int = 0
    direction: int = 0
    reverse: bool = False


class Joined(enum.Enum):
    """Whether the ys of several ways come as one, and how; APART is false.

    WRITTEN: each way writes its columns of it, and back-propagation reads them there: as with one way, torch refuses to
    differentiate where somebody has written to y. COPIED: nobody but the caller has it.
    """

    APART, WRITTEN, COPIED = 0, 1, 2

    def __bool__(self) -> bool:
        return self is not Joined.APART


class Way(NamedTuple):
    """One way through a sequence: its initial states (N, size), the stored parameters that it reads, and where it is."""

    states: Sequence[Tensor]
    stored: Sequence[Tensor]
    place: Place


def values_of(lengths: Tensor, steps: int) -> Counts:
    """The values of lengths (N,); ShapeError beyond 0..steps. NumPy's: for so few numbers torch's operators are slow.

    By way of a list, which torch gives inside `torch.func.grad` too, where memory is out of reach.
    """
    if lengths.is_meta:
        raise ShapeError("lengths on the meta device have no values, and here they are needed; write device=\"cpu\"")
    values: Counts = np.array(lengths.tolist(), np.int64)
    if len(values) and not 0 <= values.min() <= values.max() <= steps:
        row = int(((values < 0) | (values > steps)).argmax())
        raise ShapeError(f"lengths[{row}] is {values[row]}, and x has {steps} time steps; "
                         f"give lengths from 0 to {steps}")
    return values


def active_rows(lengths: Counts, steps: int) -> Counts:
    """(T,) how many rows are still running at each step, for lengths (N,) from 0 to steps in any order."""
    ended = np.bincount(lengths, minlength=steps + 1).cumsum()  # [v]: rows of length <= v
    return len(lengths) - ended[:steps]


def kernel_call(x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], streams: Streams, place: Place) -> Call:
    """The kernel's view of a call: contiguous tensors, rows counted step by step."""
    active, coins = streams.active, None
    if active is None and streams.lengths is not None:
        active = active_rows(values_of(streams.lengths, x.shape[0]), x.shape[0])
    if streams.seed is not None:
        coins = Coins(int(streams.seed), place.layer, place.direction, streams.rows)
    reset = streams.reset
    if place.reverse and reset is not None:
        # A cut between t-1 and t: going back, it is t-1 that is entered afresh, and a kernel resets what enters t.
        reset = torch.cat((reset[1:], torch.zeros_like(reset[:1])))
    return Call(x=plain(x), states=tuple(plain(s) for s in states),
                parameters=tuple(plain(p) for p in parameters), reverse=place.reverse, active=active,
                mask=streams.mask, reset=reset, elapsed=streams.elapsed, coins=coins)
