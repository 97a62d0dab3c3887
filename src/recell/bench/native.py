"""Kernels entered again and again: the native calls of a cell's passes, with the buffers of their first run."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import statistics
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np

from recell import cells
from recell.bench.timing import Step
from recell.compiler.backends.cpu import backend, library
from recell.compiler.backends.cpu.assemble import Assembled
from recell.compiler.backends.cpu.backend import CpuKernel, Key
from recell.compiler.backends.cpu.workspace import Block
from recell.compiler.build import Call, Gradients, Variant

Shape = tuple[int, int, int, int]  # T, B, input, hidden


@contextlib.contextmanager
def computing_nothing() -> Generator[None]:
    """While it is open, native passes return at once and leave their buffers as they were: what a call costs around them."""
    with mock.patch.object(library.Program, "run", lambda *_: None):
        yield


@contextlib.contextmanager
def clocked() -> Generator[list[float]]:
    """While it is open, the seconds of every entry into a layer's native passes go to the list, one after the other."""
    seconds = list[float]()

    def run_all(runs: Sequence[library.Run]) -> None:
        start = time.perf_counter()
        library.run_all(runs)
        seconds.append(time.perf_counter() - start)

    with mock.patch.object(backend, "run_all", run_all):
        yield seconds


def around(step: Step, times: int = 60) -> float:
    """Seconds of a step outside its layers' native passes, the median."""
    outside = list[float]()
    with clocked() as native:
        for _ in range(times):
            native.clear()
            start = time.perf_counter()
            step()
            outside.append(time.perf_counter() - start - sum(native))
    return statistics.median(outside)


class _Recorder(library.Program):
    """Runs another program, and keeps how."""

    def __init__(self, program: library.Program, entries: list[Step]) -> None:
        self._program, self._entries = program, entries

    def __del__(self) -> None:
        """The program is freed by its owner."""

    def run(self, addresses: Any, call: library.CallArguments) -> None:
        program, pointers, arguments = self._program, self._program.pointers(addresses), ctypes.byref(call)
        program.run(addresses, call)
        enter = library.load().rc_run
        self._entries.append(lambda: library.check(enter(program.pointer, pointers, arguments)))


class RecordingKernel(CpuKernel):
    """A kernel whose native calls can be made again, each on the buffers that it had, in the order of the first run."""

    def __init__(self, cell: Any, sizes: dict[str, int], dtype: str) -> None:
        super().__init__(cell, sizes, dtype, Variant())
        self.entries: list[Step] = []
        self._alive: list[Any] = []

    def _bound(
        self, assembled: Assembled, call: Call, found: Mapping[Key, Any], inside: Mapping[Key, int], block: Block
    ) -> library.Run:
        run = super()._bound(assembled, call, found, inside, block)
        self._alive.append(run.kept)
        return run._replace(program=_Recorder(run.program, self.entries))


@dataclasses.dataclass
class Passes:
    """A cell's native passes on fixed buffers."""

    forward: Step  # keeps nothing for gradients
    training: Step  # forward with its stash, then backward: x, initial states and all parameters
    y: Any  # what `forward` writes
    gradients: Gradients  # what `training` writes
    kernel: RecordingKernel  # keeps the buffers alive
    operations: float  # floating point operations of the products in `forward`; training has three times as many


def passes(kind: str, shape: Shape, dtype: str = "float32") -> Passes:
    """The passes of one of recell's cells at a shape; the same seed gives the same numbers for every dtype."""
    steps, rows, inputs, hidden = shape
    cell, random = cells.get(kind), np.random.default_rng(0)
    sizes = cell.resolve(inputs, hidden, {})
    kernel = RecordingKernel(cell, sizes, dtype)

    def array(*dims: int) -> Any:
        return random.standard_normal(dims).astype(np.float32)

    bound = hidden**-0.5  # as torch.nn draws its parameters
    parameters = tuple(random.uniform(-bound, bound, p.shape).astype(np.float32) for p in cell.parameters(sizes))
    states = tuple(array(rows, size) for size in cell.state_sizes(sizes))
    call = Call(array(steps, rows, inputs), states, parameters)
    y = kernel.forward(call, save=False).y
    kept = kernel.forward(call, save=True)
    gradients = kernel.backward(kept.saved, array(*y.shape), tuple(array(*state.shape) for state in states))
    forward, saving, backward = kernel.entries
    products = sum(parameter.size for parameter in parameters if parameter.ndim == 2)
    return Passes(forward, lambda: (saving(), backward()), y, gradients, kernel, 2.0 * steps * rows * products)
