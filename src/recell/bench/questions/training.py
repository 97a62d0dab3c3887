"""How long does a whole training step of a module take beside torch.nn's, as it is installed?

A step is forward and backward with the gradients of the input and all parameters. Both sides take turns in one process, and
their medians are compared; that is done in three fresh processes, and the row is the process whose ratio is the middle one:
torch.nn's GRU and RNN have two speeds, and which one a process gets is settled when it starts. `ratios` are the lowest and
the highest.

What bounds it: products, and what a call costs around its native part. `around` is that cost: the same module with native
passes that return at once, so Python, torch's graph and the memory of results. `bound` is the ratio of torch's time to
`around` and the products at the FMA peak measured in the same process; pointwise instructions are not even counted. `needs` is
the percentage of the peak at which the whole native part would have to run for what is promised: over 100, no kernel can keep
the promise. `recell bench matrix-product` says what products alone reach, `recell bench kernel` what recell's whole kernels do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from recell.bench.native import computing_nothing
from recell.bench.report import Row, against, bounds
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
        row = against(f"{kind} {tuple(shape)}", "torch.nn", middle, at_least=bar)
        row |= {"ratios": f"{ratios[0]:.2f} - {ratios[-1]:.2f}"}
        yield row | bounds(middle, "torch.nn", training_operations(kind, shape), bar)


def pairs(shape: Any, threads: int) -> dict[str, dict[str, float]]:
    """By kind: median seconds of both sides and of what is around recell's native passes, and this process's FMA peak."""
    torch.set_num_threads(threads)
    return {kind: pair(kind, tuple(shape), threads) for kind in KINDS}


def pair(kind: str, shape: Shape, threads: int) -> dict[str, float]:
    sides = training_pair(kind, shape)
    once = sum(values[0] for values in take_turns(sides, rounds=1, warm=1).values())
    rounds = max(3, min(15, round(1.0 / once)))
    found = medians(take_turns(sides, rounds=rounds, warm=0))
    with computing_nothing():
        found |= medians(take_turns({"around": sides["recell"]}, rounds=rounds))
    return found | {"peak": peak(threads, 8)}
