"""How long does a whole training step of a module take beside torch.nn's, as it is installed?

A step is forward and backward with the gradients of the input and all parameters. Both sides take turns in one process, and
their medians are compared; that is done in three fresh processes, and the row is the process whose ratio is the middle one:
torch.nn's GRU and RNN have two speeds, and which one a process gets is settled when it starts. `ratios` are the lowest and
the highest.

What bounds it: `bound` is the ratio of torch's time to the time that the products alone take at the FMA peak measured in the
same process. No kernel of these products passes it: where what is promised lies above it, the promise cannot be kept, and
where it lies little below it, the kernel would have to run at the peak. At (1000, 8, 32, 32) the products of a time step,
both ways, take 0.4 us (RNN) to 1.7 us (LSTM) at the peak; there the edges of 1000 steps, the pointwise instructions on four
rows a thread and Python (0.3 to 0.4 ms a step) weigh more. Its native calls alone take 0.9 (RNN) to 3.2 ms (LSTM), the module
alone 1.3 to 3.8 ms; what the table has beyond that comes of the turns: after torch.nn's, nothing lies in the caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from recell.bench.report import Row, against
from recell.bench.sides import KINDS, Shape, training_operations, training_pair
from recell.bench.timing import Options, in_child, medians, peak, take_turns

KIND = "module"
PROMISED: dict[Shape, tuple[float, float, float]] = {  # LSTM, GRU, RNN
    (100, 32, 64, 128): (1.5, 5.0, 5.0),
    (100, 64, 256, 256): (1.45, 3.0, 3.0),
    (50, 64, 512, 512): (1.25, 2.6, 2.6),
    (100, 20, 1024, 1024): (1.3, 3.0, 3.0),
    (1000, 8, 32, 32): (4.5, 70.0, 65.0),
}
PROCESSES = 3


def rows(options: Options) -> Iterator[Row]:
    for shape, promised in PROMISED.items():
        yield from measure(shape, promised, options.threads)


def measure(shape: Shape, promised: Sequence[float], threads: int, environment: dict[str, str] | None = None) -> Iterator[Row]:
    """The pairs of a shape in several processes, each with this environment."""
    found = [in_child(f"{__name__}:pairs", shape, threads, environment=environment) for _ in range(PROCESSES)]
    for kind, bar in zip(KINDS, promised, strict=True):
        processes = sorted((one[kind] for one in found), key=lambda one: one["torch.nn"] / one["recell"])
        middle = processes[len(processes) // 2]
        ratios = [one["torch.nn"] / one["recell"] for one in processes]
        bound = middle["torch.nn"] * middle["peak"] / training_operations(kind, shape)
        row = against(f"{kind} {tuple(shape)}", "torch.nn", middle, at_least=bar)
        yield row | {"ratios": f"{ratios[0]:.2f} - {ratios[-1]:.2f}", "bound": bound}


def pairs(shape: Any, threads: int) -> dict[str, dict[str, float]]:
    """By kind: median seconds of both sides in this process, and its FMA peak."""
    torch.set_num_threads(threads)
    return {kind: pair(kind, tuple(shape), threads) for kind in KINDS}


def pair(kind: str, shape: Shape, threads: int) -> dict[str, float]:
    sides = training_pair(kind, shape)
    once = sum(values[0] for values in take_turns(sides, rounds=1, warm=1).values())
    rounds = max(3, min(15, round(1.0 / once)))
    return {**medians(take_turns(sides, rounds=rounds, warm=0)), "peak": peak(threads, 8)}
