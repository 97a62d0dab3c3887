"""One step of all streams of a session: on the native kernel as one bound call, on any other backend layer by layer."""

from __future__ import annotations

from threading import Lock
from typing import NoReturn, Protocol

import numpy as np

from recell.compiler.backends.cpu.backend import CpuKernel
from recell.compiler.backends.cpu.quick import QuickCall
from recell.compiler.backends.cpu.stream import Stream
from recell.runtime.network import Array, Network, States


class Steps(Protocol):
    """Buffers that stay: `numbers` (streams,) or `x` (streams, input) go in, `scores` (streams, V) come out of `step`."""

    numbers: Array
    x: Array
    scores: Array
    states: list[States]  # one entry per layer; moved on, and to be written, in place

    def hold(self) -> int:
        """Refuses other threads until `release`; negative where another holds the streams."""
        ...

    def release(self) -> object:
        """Lets other threads in again."""
        ...

    @property
    def quick(self) -> QuickCall:
        """x -> scores: a whole step, held and released. None where x has not the very form that it takes: nothing moved."""
        ...

    def step(self) -> int:
        """Reads the rows of the embedding that `numbers` names. Negative: `failed` raises why, and no state has moved."""
        ...

    def step_embedded(self) -> int:
        """Reads `x`."""
        ...

    def failed(self) -> NoReturn:
        """Raises the reason of the last negative result as a RecellError."""
        ...


def make_steps(network: Network, streams: int) -> Steps:
    """The way that the network's backend steps."""
    native = all(isinstance(layer.kernel, CpuKernel) for layer in network.layers)
    return NativeSteps(network, streams) if native else PlainSteps(network, streams)


class _Buffers:
    def __init__(self, network: Network, streams: int) -> None:
        self.numbers = np.zeros(streams, np.int64)
        self.x = np.zeros((streams, network.input_size), network.dtype)
        self.states = [layer.initial_states(streams, network.dtype) for layer in network.layers]


class NativeSteps(_Buffers):
    """Embedding, layers and output layer as one chain of native links, their weights packed once a model."""

    def __init__(self, network: Network, streams: int) -> None:
        super().__init__(network, streams)
        self._stream = Stream()
        self._stream.add_table(network.embedding, self.numbers, self.x)
        y = self.x
        for layer, packed, states in zip(network.layers, network.packs, self.states, strict=True):
            assert isinstance(layer.kernel, CpuKernel)
            y = layer.kernel.bind(self._stream, packed, y, states)
        self.scores = y
        if network.packed_output is not None:
            self.scores = np.zeros((streams, network.vocabulary_size), network.dtype)
            self._stream.add(network.packed_output, streams, {("input", 0): y, ("y", 0): self.scores})
        # The native calls themselves: a method around them would cost as much as a small step's arithmetic.
        self.step, self.step_embedded, self.failed = self._stream.run, self._stream.run_from_input, self._stream.failed
        self.hold, self.release = self._stream.hold, self._stream.release
        self.quick: QuickCall = self._stream.quick(self.numbers, self.x, self.scores) or no_quick_step


def no_quick_step(x: object) -> None:
    """Takes nothing: every step goes the ordinary way."""


class PlainSteps(_Buffers):
    """Layer by layer, for backends without streams."""

    def __init__(self, network: Network, streams: int) -> None:
        super().__init__(network, streams)
        self._network = network
        self.scores = np.zeros((streams, network.vocabulary_size), network.dtype)
        self._busy = Lock()
        self.release = self._busy.release
        self.quick: QuickCall = no_quick_step

    def hold(self) -> int:
        return 0 if self._busy.acquire(blocking=False) else -1

    def step(self) -> int:
        self.x[...] = self._network.embedding[self.numbers]
        return self.step_embedded()

    def step_embedded(self) -> int:
        y = self.x[None]
        for layer, states in zip(self._network.layers, self.states, strict=True):
            y, new = layer.run(y, states)
            for mine, value in zip(states, new, strict=True):
                mine[...] = value
        self.scores[...] = self._network.scores(y[0])
        return 0

    def failed(self) -> NoReturn:
        raise AssertionError("a step in Python raises where it fails")
