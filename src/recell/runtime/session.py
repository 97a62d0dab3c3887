"""Stepping some streams through a network, each with its own state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recell.errors import DataError, ShapeError
from recell.runtime.network import Network, States

Array = NDArray[Any]


class Session:
    """``streams`` parallel sequences. A step feeds one symbol (or one embedded input) to each and scores the next.

    Not to be shared between threads; a model may have any number of sessions.
    """

    def __init__(self, network: Network, streams: int = 1) -> None:
        if streams < 1:
            raise ShapeError(f"a session has at least 1 stream; came {streams}")
        self._network = network
        self.streams = streams
        self._scores = np.empty((streams, network.vocabulary_size), network.dtype)
        self._states: list[States] = []
        self.reset()

    def step(self, x: ArrayLike, out: Array | None = None) -> Array:
        """The logits (streams, V) after x: token numbers (streams,), or embedded inputs (streams, input).

        Without ``out`` the result is the session's own buffer, which the next step overwrites.
        """
        y = self._advance(self._embedded(np.asarray(x)[None]))
        if out is None:
            out = self._scores
        elif out.shape != self._scores.shape:
            raise ShapeError(f"out has the shape {out.shape}; this session's scores are {self._scores.shape}")
        out[...] = self._network.scores(y[0])
        return out

    def run(self, xs: ArrayLike) -> Array:
        """The logits (T, streams, V) of T steps: numbers (T, streams), or embedded inputs (T, streams, input)."""
        return self._network.scores(self._advance(self._embedded(np.asarray(xs))))

    @property
    def state(self) -> dict[str, Array]:
        """A copy of every state, (layers, streams, size), by its name; assign it back to return there."""
        states = zip(self._network.cell.states, zip(*self._states, strict=True), strict=True)
        return {state.name: np.stack(layers) for state, layers in states}

    @state.setter
    def state(self, values: Mapping[str, ArrayLike]) -> None:
        current = self.state
        if set(values) != set(current):
            raise ShapeError(f"the state has {', '.join(current)}; came {', '.join(values) or 'nothing'}")
        arrays = {name: np.array(values[name], self._network.dtype) for name in current}
        for name, array in arrays.items():
            if array.shape != current[name].shape:
                raise ShapeError(f"the state {name!r} is {current[name].shape}; came {array.shape}")
        layers = range(len(self._network.layers))
        self._states = [tuple(np.array(array[layer]) for array in arrays.values()) for layer in layers]

    def reset(self, streams: Sequence[int] | Array | None = None) -> None:
        """Start all streams anew, or those of these numbers."""
        network = self._network
        fresh = [layer.initial_states(self.streams, network.dtype) for layer in network.layers]
        if streams is None:
            self._states = fresh
            return
        chosen = np.asarray(streams)
        if chosen.dtype != bool and chosen.size and not (0 <= chosen.min() and chosen.max() < self.streams):
            raise ShapeError(f"the session's streams are 0 to {self.streams - 1}; came {chosen.tolist()}")
        for old, new in zip(self._states, fresh, strict=True):
            for mine, initial in zip(old, new, strict=True):
                mine[chosen] = initial[chosen]

    def _advance(self, x: Array) -> Array:
        """x (T, streams, input) through all layers; the states move on."""
        for number, layer in enumerate(self._network.layers):
            x, states = layer.run(x, self._states[number])
            self._states[number] = states
        return x

    def _embedded(self, x: Array) -> Array:
        """Numbers (T, streams), or one number for a single stream, or floats (T, streams, input) -> the latter."""
        network = self._network
        if not np.issubdtype(x.dtype, np.integer):
            expected = (self.streams, network.input_size)
            if x.ndim != 3 or x.shape[1:] != expected or not np.issubdtype(x.dtype, np.floating):
                raise ShapeError(f"an embedded input is {expected} for each step; came {x.dtype} {x.shape[1:]}")
            return np.ascontiguousarray(x, network.dtype)
        if x.ndim == 1 and self.streams == 1:
            x = x[:, None]
        if x.ndim != 2 or x.shape[1] != self.streams:
            raise ShapeError(f"a step takes {self.streams} token numbers, one a stream; came the shape {x.shape[1:]}")
        if x.size and not (0 <= x.min() and x.max() < network.vocabulary_size):
            came = sorted({int(x.min()), int(x.max())})
            raise DataError(f"token numbers go from 0 to {network.vocabulary_size - 1}; came {came}")
        return network.embedding[x]
