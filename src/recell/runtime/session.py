"""Stepping some streams through a network, each with its own state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recell.errors import DataError, RecellError, ShapeError, is_whole
from recell.runtime.network import Network
from recell.runtime.steps import make_steps

Array = NDArray[Any]


class Session:
    """``streams`` parallel sequences. A step feeds one symbol (or one embedded input) to each and scores the next.

    One thread at a time: a second is refused. A model may have any number of sessions.
    """

    def __init__(self, network: Network, streams: int = 1) -> None:
        if not is_whole(streams, least=1):
            raise ShapeError(f"a session has at least 1 stream; came {streams!r}; write session(streams=1)")
        self._network = network
        self.streams = int(streams)
        self._steps = make_steps(network, self.streams)
        self._x, self._scores = self._steps.x, self._steps.scores
        self._shape, self._dtype = self._x.shape, self._x.dtype
        self._quick, self._hold, self._release = self._steps.quick, self._steps.hold, self._steps.release

    def step(self, x: ArrayLike, out: Array | None = None) -> Array:
        """The logits (streams, V) after x: token numbers (streams,), or embedded inputs (streams, input).

        Without ``out`` the result is the session's own buffer, which the next step overwrites. Raises ShapeError or
        DataError for an x that does not fit, and RecellError where another thread is in this session.
        """
        if out is not None and (not isinstance(out, np.ndarray) or out.shape != self._scores.shape):
            came = getattr(out, "shape", type(out).__name__)
            raise ShapeError(f"out is an array of the shape {self._scores.shape}; came {came}")
        scores = self._quick(x)
        if scores is None:
            scores = self._step(x)
        if out is None:
            return scores
        out[...] = scores
        return out

    def _step(self, x: ArrayLike) -> Array:
        """The same for an x of any form, with an error that says what does not fit."""
        if self._hold() < 0:
            self._refuse()
        try:
            if self._take(x)() < 0:
                self._steps.failed()
            return self._scores
        finally:
            self._release()

    def run(self, xs: ArrayLike) -> Array:
        """The logits (T, streams, V) of T steps: numbers (T, streams), or embedded inputs (T, streams, input)."""
        if self._hold() < 0:
            self._refuse()
        try:
            return self._network.scores(self._advance(self._embedded(np.asarray(xs))))
        finally:
            self._release()

    def _take(self, x: ArrayLike) -> Callable[[], int]:
        """x into the session's buffers; returns the step to run on them."""
        array = np.asarray(x)[None]
        if np.issubdtype(array.dtype, np.integer):
            self._steps.numbers[...] = self._numbers(array)[0]
            return self._steps.step
        self._x[...] = self._inputs(array)[0]
        return self._steps.step_embedded

    def _refuse(self) -> NoReturn:
        raise RecellError("this session is in use by another thread; give each thread a session of its own")

    @property
    def state(self) -> dict[str, Array]:
        """A copy of every state, (layers, streams, size), by its name; assign it back to return there.

        A layer narrower than the widest has zeros beyond its size, as in `recell.nn.Recurrent`.
        """
        states = zip(self._network.cell.states, zip(*self._steps.states, strict=True), strict=True)
        return {state.name: _stacked(layers) for state, layers in states}

    @state.setter
    def state(self, values: Mapping[str, ArrayLike]) -> None:
        current = self.state
        if not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ShapeError(f"the state is a dict with {', '.join(current)}; came {type(values).__name__}")
        if set(values) != set(current):
            raise ShapeError(f"the state has {', '.join(current)}; came {', '.join(values) or 'nothing'}")
        arrays = {name: np.array(values[name], self._network.dtype) for name in current}
        for name, array in arrays.items():
            if array.shape != current[name].shape:
                raise ShapeError(f"the state {name!r} is {current[name].shape}; came {array.shape}")
        for layer, states in enumerate(self._steps.states):
            for mine, array in zip(states, arrays.values(), strict=True):
                mine[...] = array[layer, :, : mine.shape[1]]

    def reset(self, streams: Sequence[int] | Array | None = None) -> None:
        """Start all streams anew, or those of these numbers."""
        network = self._network
        chosen = slice(None) if streams is None else self._chosen(streams)
        for layer, states in zip(network.layers, self._steps.states, strict=True):
            for mine, initial in zip(states, layer.initial, strict=True):
                mine[chosen] = initial

    def _chosen(self, streams: object) -> Array:
        chosen = np.asarray(streams)
        if chosen.dtype == bool and chosen.shape == (self.streams,):
            return chosen
        if not np.issubdtype(chosen.dtype, np.integer) and chosen.size:
            raise ShapeError(f"reset takes the numbers of streams, or one bool for each of the {self.streams}; came {streams!r}")
        if chosen.size and not (0 <= chosen.min() and chosen.max() < self.streams):
            raise ShapeError(f"the session's streams are 0 to {self.streams - 1}; came {chosen.tolist()}")
        return chosen.astype(np.int64)

    def _advance(self, x: Array) -> Array:
        """x (T, streams, input) through all layers; the states move on."""
        for layer, states in zip(self._network.layers, self._steps.states, strict=True):
            x, new = layer.run(x, states)
            for mine, value in zip(states, new, strict=True):
                mine[...] = value
        return x

    def _embedded(self, x: Array) -> Array:
        """Numbers (T, streams), or one number for a single stream, or floats (T, streams, input) -> the latter."""
        return self._network.embedding[self._numbers(x)] if np.issubdtype(x.dtype, np.integer) else self._inputs(x)

    def _inputs(self, x: Array) -> Array:
        if x.ndim != 3 or x.shape[1:] != self._shape or not np.issubdtype(x.dtype, np.floating):
            raise ShapeError(f"an embedded input is {self._shape} for each step; came {x.dtype} {x.shape[1:]}")
        return np.ascontiguousarray(x, self._dtype)

    def _numbers(self, x: Array) -> Array:
        if x.ndim == 1 and self.streams == 1:
            x = x[:, None]
        if x.ndim != 2 or x.shape[1] != self.streams:
            raise ShapeError(f"a step takes {self.streams} token numbers, one a stream; came the shape {x.shape[1:]}")
        highest = self._network.vocabulary_size - 1
        if x.size and not (0 <= x.min() and x.max() <= highest):
            raise DataError(f"token numbers go from 0 to {highest}; came {sorted({int(x.min()), int(x.max())})}")
        return x


def _stacked(layers: Sequence[Array]) -> Array:
    """(streams, size) of each layer as (layers, streams, widest size)."""
    streams, widest = len(layers[0]), max(layer.shape[1] for layer in layers)
    stacked = np.zeros((len(layers), streams, widest), layers[0].dtype)
    for row, layer in zip(stacked, layers, strict=True):
        row[:, : layer.shape[1]] = layer
    return stacked
