"""Steps of fixed streams: programs bound once to buffers that stay, so that a step is one native call.

`Packed` holds what all streams of a layer share: its program and its weights, packed once. A `Stream` is a chain of them.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from recell.compiler.backends.cpu.emitter import Emitter
from recell.compiler.backends.cpu.library import CallArguments, Program, check, load, share_team, thread_count
from recell.compiler.backends.cpu.quick import QuickCall, is_available, quick_step
from recell.compiler.backends.cpu.storage import SLOT_ROW, SLOT_VECTOR, Layout
from recell.compiler.backends.cpu.workspace import Block

Array = NDArray[Any]
Key = tuple[str, int]


class Packed:
    """A program and the weights that its runs read, packed once. `values` are its parameters' arrays by buffer key."""

    def __init__(self, program: Program, layout: Layout, values: Mapping[Key, Array]) -> None:
        self.program, self.layout, self.values = program, layout, dict(values)
        self.block = Block(program.pack_bytes())
        addresses = [self.values[b.key].ctypes.data if b.key in self.values else None for b in layout.buffers]
        program.run(addresses, CallArguments(threads=1, packs=self.block.address))


def packed_affine(weight: Array, bias: Array, *, halves: bool = False) -> Packed:
    """y = weight @ v + bias on the rows of ("input", 0), into ("y", 0), the product in bf16 if `halves`.

    weight (out, in), bias (out,).
    """
    units, depth = weight.shape
    emitter, layout = Emitter(double=weight.dtype == np.float64, halves=halves), Layout()
    given = layout.buffer(("input", 0), "row", depth)
    matrix = layout.buffer(("value", 0), "vector", units * depth)
    start = layout.buffer(("value", 1), "vector", units)
    result = layout.buffer(("y", 0), "row", units)
    emitter.loop(False)
    emitter.stage(by_rows=False)
    emitter.form(emitter.memory(result, SLOT_ROW, units, 0, units), emitter.memory(start, SLOT_VECTOR, units, 0, units))
    emitter.segment(emitter.matrix(matrix, 0, units, depth, depth, False), emitter.memory(given, SLOT_ROW, depth, 0, depth))
    values = {("value", 0): np.ascontiguousarray(weight), ("value", 1): np.ascontiguousarray(bias)}
    return Packed(emitter.finish(len(layout.buffers)), layout, values)


SHORT = 1 << 21  # bytes of weights read by a step (some 40 us): below, letting other Python threads run costs more than it gives


class Stream:
    """A chain of links over buffers of its own.

    `run` runs all links, `run_from_input` all but the first, which is then a table's: 0, or a negative number for `failed`. Who
    calls them holds the stream: `hold`, negative where another does, and `release`. Arguments are made once, because making them
    costs as much as a small step.
    """

    def __init__(self) -> None:
        library = load()
        share_team()
        self._free = library.rc_stream_free  # at interpreter exit the module may be gone before the stream
        self._pointer = library.rc_stream_new()
        self._kept: list[object] = []  # what the native side points at
        self._bytes = 0
        self._bind_calls(library)

    def __del__(self) -> None:
        pointer = getattr(self, "_pointer", None)
        if pointer:
            self._free(pointer)

    def _bind_calls(self, library: ctypes.CDLL) -> None:
        alone = ctypes.PyDLL(library._name)  # lets no other thread run
        step = (alone if self._is_short else library)["rc_stream_step_held"]  # a function object of its own, without conversions
        pointer = ctypes.c_void_p(self._pointer)
        self.hold: Callable[[], int] = partial(alone["rc_stream_hold"], pointer)
        self.release: Callable[[], int] = partial(alone["rc_stream_release"], pointer)
        self.run: Callable[[], int] = partial(step, pointer, ctypes.c_int(0))
        self.run_from_input: Callable[[], int] = partial(step, pointer, ctypes.c_int(1))

    @property
    def _is_short(self) -> bool:
        return self._bytes <= SHORT

    def quick(self, numbers: Array, x: Array, scores: Array) -> QuickCall | None:
        """The step as one built-in call, where Python has such and the step is short; made when all links are there."""
        return quick_step(self._pointer, self, numbers, x, scores) if self._is_short and is_available() else None

    @staticmethod
    def failed() -> NoReturn:
        """The library's own line, for a token number out of range or two threads in one stream, as a RecellError."""
        check(-1)
        raise AssertionError

    def add_table(self, table: Array, numbers: Array, destination: Array) -> None:
        """Copies the rows of `table` (count, width) that `numbers` (rows,), int64, names to `destination` (rows, width)."""
        count, width = table.shape
        self._kept += [table, numbers, destination]
        check(load().rc_stream_table(self._pointer, table.ctypes.data, count, width * table.itemsize, numbers.ctypes.data,
                                     len(numbers), destination.ctypes.data))

    def add(self, packed: Packed, rows: int, buffers: Mapping[Key, Array], threads: int | None = None) -> None:
        """One step of a program on `rows` rows; `buffers` are the arrays that it reads and writes, by their keys."""
        layout = packed.layout
        item = 8 if packed.program.double else 4
        sizes = layout.internal_bytes(1, rows, item)
        block = Block(sum(sizes.values()))
        inside = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=block.address), strict=False))
        found = {**packed.values, **buffers}
        addresses = [inside[key] if key in inside else found[key].ctypes.data for key in layout.index]
        call = CallArguments(steps=1, rows=rows, threads=threads or thread_count(), keep_packs=1, packs=packed.block.address)
        self._kept += [packed, block, *found.values()]
        self._bytes += packed.block.size * rows
        check(load().rc_stream_program(self._pointer, packed.program.pointer, packed.program.pointers(addresses), call))
        self._bind_calls(load())
