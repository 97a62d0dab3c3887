"""How near to the processor's FMA peak does the native runtime come on an LSTM, forward and backward?

The cell's programs are written by hand against the C ABI, so nothing of the compiler or of torch takes part; the
peak is measured by the library itself in the same run (`rc_fma_peak`). Prints GF/s and the percentage of the peak.
Flops counted: 2 * 4H * (I + H) per row and step forward; twice that backward (products of dz, and weight gradients).
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from recell.compiler.backends.cpu import library
from recell.compiler.backends.cpu.library import NEW, PREVIOUS, ROLL_NEW, ROLL_PREVIOUS, ROW, STEP, VECTOR

GATES = ("i", "f", "g", "o")


class Arrays:
    """A program and its buffers: NumPy arrays by name, made at first use."""

    def __init__(self, buffers: dict[str, np.ndarray]) -> None:
        self.buffers = buffers
        self.names = list(buffers)
        self.program = library.Program(double=False, buffers=len(buffers))
        self.build = self.program.build

    def memory(self, name: str, slot: int, column: int = 0, width: int | None = None) -> int:
        ld = self.buffers[name].shape[-1]
        return self.build("memory", self.names.index(name), slot, ld, column, width or ld)

    def weight(self, name: str, transposed: bool = False) -> int:
        rows, columns = self.buffers[name].shape
        return self.build("matrix", self.names.index(name), 0, rows, columns, columns, int(transposed))

    def run(self, steps: int, rows: int, threads: int) -> None:
        call = library.CallArguments(steps=steps, rows=rows, threads=threads)
        self.program.run([self.buffers[name].ctypes.data for name in self.names], call)


def make_buffers(steps: int, rows: int, inputs: int, hidden: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.1).astype(np.float32)

    arrays = {"x": array(steps, rows, inputs), "h": array(steps + 1, rows, hidden), "c": array(steps + 1, rows, hidden)}
    arrays |= {"first": array(rows, hidden), "dy": array(steps, rows, hidden), "dx": array(steps, rows, inputs)}
    arrays |= {"dh": array(2, rows, hidden), "dc": array(2, rows, hidden)}
    for gate in GATES:
        arrays |= {f"W_{gate}": array(hidden, inputs), f"U_{gate}": array(hidden, hidden), f"b_{gate}": array(hidden)}
        arrays |= {f"dW_{gate}": array(hidden, inputs), f"dU_{gate}": array(hidden, hidden), f"db_{gate}": array(hidden)}
        arrays |= {gate: array(steps, rows, hidden), f"d{gate}": array(steps, rows, hidden)}
    return arrays


def forward(buffers: dict[str, np.ndarray], hidden: int) -> Arrays:
    """i f g o = activation(W x + U h + b); c = f c + i g; h = o tanh(c). Keeps the gates."""
    p = Arrays(buffers)
    p.build("loop", 0)
    h, h_new = p.memory("h", PREVIOUS), p.memory("h", NEW)
    c, c_new = p.memory("c", PREVIOUS), p.memory("c", NEW)
    first = p.memory("first", ROW)
    p.build("state", first, h, h_new, -1)
    p.build("state", first, c, c_new, -1)
    p.build("stage", 0)
    tiles = {gate: p.build("tile", hidden) for gate in GATES}
    for gate, tile in tiles.items():
        p.build("form", tile, p.memory(f"b_{gate}", VECTOR))
        p.build("segment", p.weight(f"W_{gate}"), p.memory("x", STEP))
        p.build("segment", p.weight(f"U_{gate}"), h)
    kept = {gate: p.memory(gate, STEP) for gate in GATES}
    for gate, tile in tiles.items():
        p.program.point("tanh" if gate == "g" else "sigmoid", kept[gate], tile)
    product = p.build("register", hidden)
    p.program.point("mul", product, kept["i"], kept["g"])
    p.program.point("mul_add", c_new, kept["f"], c, product)
    squashed = p.build("register", hidden)
    p.program.point("tanh", squashed, c_new)
    p.program.point("mul", h_new, kept["o"], squashed)
    return p


def backward(buffers: dict[str, np.ndarray], hidden: int) -> Arrays:
    """dz of the four gates, dh and dc, against the direction of time; then dx, dW, dU and db."""
    p = Arrays(buffers)
    p.build("loop", 1)
    first = p.memory("first", ROW)
    dh, dh_before = p.memory("dh", ROLL_PREVIOUS), p.memory("dh", ROLL_NEW)
    dc, dc_before = p.memory("dc", ROLL_PREVIOUS), p.memory("dc", ROLL_NEW)
    p.build("state", first, dh, dh_before, -1)
    p.build("state", first, dc, dc_before, -1)
    p.build("stage", 0)
    names = ("i", "f", "g", "o", "c")
    i, f, g, o, c = (p.memory(name, NEW if name == "c" else STEP) for name in names)
    dz = {gate: p.memory(f"d{gate}", STEP) for gate in GATES}
    one = p.build("constant", 1.0)
    t, total, inner, slope = (p.build("register", hidden) for _ in range(4))
    p.program.point("tanh", t, c)
    p.program.point("add", total, dh, p.memory("dy", STEP))
    p.program.point("mul", inner, total, o)
    p.program.point("mul_rsub", slope, t, t, one)
    p.program.point("mul_add", inner, inner, slope, dc)
    p.program.point("mul", dc_before, inner, f)

    def through(gate: str, factor: int, value: int, outer: int, tanh: bool = False) -> None:
        """dz = outer * factor * activation'(value)"""
        a, b = p.build("register", hidden), p.build("register", hidden)
        p.program.point("mul", a, outer, factor)
        if tanh:
            p.program.point("mul_rsub", b, value, value, one)
        else:
            p.program.point("mul_rsub", b, value, value, value)
        p.program.point("mul", dz[gate], a, b)

    through("o", t, o, total)
    through("i", g, i, inner)
    through("f", p.memory("c", PREVIOUS), f, inner)
    through("g", i, g, inner, tanh=True)
    p.build("stage", 0)
    p.build("form", dh_before, -1)
    for gate in GATES:
        p.build("segment", p.weight(f"U_{gate}", True), dz[gate])
    p.build("everywhere")
    p.build("stage", 0)
    p.build("form", p.memory("dx", STEP), -1)
    for gate in GATES:
        p.build("segment", p.weight(f"W_{gate}", True), dz[gate])
        p.program.point("accumulate", p.build("accumulator", p.names.index(f"db_{gate}"), 0, hidden), dz[gate])
    p.build("outer")
    x, h = p.memory("x", STEP), p.memory("h", PREVIOUS)
    for gate in GATES:
        for name, operand in ((f"dW_{gate}", x), (f"dU_{gate}", h)):
            p.build("pair", dz[gate], operand, p.names.index(name), 0, buffers[name].shape[1])
    return p


def seconds(program: Arrays, steps: int, rows: int, threads: int, repeats: int = 7) -> float:
    """The median of several runs, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        program.run(steps, rows, threads)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def report(steps: int, rows: int, inputs: int, hidden: int) -> None:
    """Two lines: one thread and two."""
    buffers = make_buffers(steps, rows, inputs, hidden)
    programs = forward(buffers, hidden), backward(buffers, hidden)
    flops = 2.0 * 4 * hidden * (inputs + hidden) * rows * steps
    for threads in (1, 2):
        peak = max(library.load().rc_fma_peak(threads, 0) for _ in range(3))
        line = f"{steps:4} {rows:4} {inputs:5} {hidden:5} {threads:7} {peak:10.0f}"
        for program, count in zip(programs, (flops, 2 * flops), strict=True):
            rate = count / seconds(program, steps, rows, threads) * 1e-9
            line += f" {rate:7.1f} {100 * rate / peak:5.1f} %"
        print(line)


def main() -> None:
    sizes = [(100, 64, 256, 256), (100, 32, 128, 128), (100, 1, 256, 256), (100, 8, 512, 512)]
    if len(sys.argv) == 5:
        steps, rows, inputs, hidden = map(int, sys.argv[1:])
        sizes = [(steps, rows, inputs, hidden)]
    print(f"{library.load().rc_isa().decode()}: percentage of the FMA peak")
    print(f"{'T':>4} {'B':>4} {'I':>5} {'H':>5} {'threads':>7} {'peak GF/s':>10} {'forward':>15} {'backward':>15}")
    for size in sizes:
        report(*size)


if __name__ == "__main__":
    main()
