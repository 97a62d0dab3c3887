"""A conditional random field's loss in the native runtime, on NumPy arrays and torch tensors alike."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.library import check, load, share_team, thread_count

TILE = 16  # places that a packed matrix has side by side: recell.h


class CrfArguments(ctypes.Structure):
    """`rc_crf_call`."""

    _fields_ = [
        ("dtype", c_int),
        ("threads", c_int),
        ("steps", c_int64),
        ("rows", c_int64),
        ("tags", c_int64),
        ("scores", c_void_p),
        ("transitions", c_void_p),
        ("path", c_void_p),
        ("lengths", c_void_p),
        ("order", c_void_p),
        ("ahead_starts", c_void_p),
        ("ahead", c_void_p),
        ("back_starts", c_void_p),
        ("back", c_void_p),
        ("forbidden", c_double),
        ("alpha", c_void_p),
        ("panel", c_void_p),
        ("losses", c_void_p),
        ("weights", c_void_p),
        ("gradient", c_void_p),
        ("moves", c_void_p),
    ]


class Moves:
    """The moves that are allowed, as the kernel reads them: tags of the same neighbours stand together, so that a tile of places
    has few others before it, and few after."""

    def __init__(self, allowed: NDArray[np.bool_]) -> None:
        """`allowed` (K, K): whether the column's tag may follow the row's."""
        _, kinds = np.unique(np.concatenate([allowed, allowed.T], 1), axis=0, return_inverse=True)
        self.order = np.argsort(kinds.reshape(-1), kind="stable").astype(np.int64)
        inside = allowed[self.order][:, self.order]
        self.ahead, self.back = _tiles(inside), _tiles(inside.T)


def _tiles(allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each tile of columns begins in the list of rows that have something there, and that list."""
    members = [np.flatnonzero(allowed[:, first : first + TILE].any(1)) for first in range(0, len(allowed), TILE)]
    return np.cumsum([0, *map(len, members)]).astype(np.int64), np.concatenate(members).astype(np.int64)


@dataclass(frozen=True)
class Tagged:
    """What is read: scores (T, N, K) and transitions (K + 2, K + 2) of one dtype, -inf beyond `moves`; path (T, N) and lengths
    (N,), int64. All contiguous. `forbidden` is the score of a move at -inf that the path makes."""

    scores: Any
    transitions: Any
    path: Any
    lengths: Any
    moves: Moves
    forbidden: float = -1e4


def crf_loss(given: Tagged) -> tuple[Any, Any]:
    """The loss of every sequence (N,), and what `crf_gradient` needs. RecellError for lengths and tags that do not fit.

    A loss is no finite number where a probability may have been lost, as `recell.nn.linear_chain` has it: for another way then.
    """
    steps, rows, tags = given.scores.shape
    losses = arrays.empty(given.scores, (rows,))
    width = (tags + TILE - 1) // TILE * TILE
    saved = np.empty(steps * rows * width + len(given.moves.ahead[1]) * TILE)
    call = _arguments(given, saved)
    call.losses = arrays.address(losses)
    check(load().rc_crf_loss(ctypes.byref(call)))
    return losses, saved


def crf_gradient(given: Tagged, saved: Any, weights: Any) -> tuple[Any, Any]:
    """The gradients of the sum of weights (N,) times losses, by the scores (T, N, K) and by the transitions (K + 2, K + 2)."""
    gradient, moves = (arrays.empty(given.scores, tuple(array.shape)) for array in (given.scores, given.transitions))
    call = _arguments(given, saved)
    call.weights, call.gradient, call.moves = map(arrays.address, (weights, gradient, moves))
    check(load().rc_crf_gradient(ctypes.byref(call)))
    return gradient, moves


def _arguments(given: Tagged, saved: NDArray[np.float64]) -> CrfArguments:
    steps, rows, tags = given.scores.shape
    moves = given.moves
    panel = saved[len(saved) - len(moves.ahead[1]) * TILE :]
    read = {name: arrays.address(getattr(given, name)) for name in ("scores", "transitions", "path", "lengths")}
    share_team()
    return CrfArguments(
        dtype=int(given.scores.itemsize == 8), threads=thread_count(), steps=steps, rows=rows, tags=tags,
        order=arrays.address(moves.order), ahead_starts=arrays.address(moves.ahead[0]), ahead=arrays.address(moves.ahead[1]),
        forbidden=given.forbidden, back_starts=arrays.address(moves.back[0]), back=arrays.address(moves.back[1]),
        alpha=arrays.address(saved), panel=arrays.address(panel), **read,
    )  # fmt: skip
