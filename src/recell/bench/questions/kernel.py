"""How near to the processor's FMA peak do compiled cells come, forward and in training?

Native entries of compiled plans on buffers made before, float32, best of 20; the peak is the best of 20 too, measured in
turns with them. Operations counted are those of the products, 2 T B G hidden (input + hidden) forward for a cell of G gates,
and three times as many in training: what is computed point by point is not counted, and so the percentage holds its cost.

What bounds it: a step's products and the cell's pointwise instructions share the two cores, and a loop over time has T
boundaries at which a tile is filled and emptied. The fewer rows and units a step has, the more of it is that edge. A single
row (B = 1) reads every weight for one multiply-add: there it is the caches that bound, not the FMA units.
"""

from __future__ import annotations

from collections.abc import Iterator

from recell.bench.native import Shape, passes
from recell.bench.report import Row
from recell.bench.timing import Options, peak, take_turns

KIND = "kernel"
SHAPES: dict[Shape, tuple[float | None, float | None]] = {  # percent of the peak promised: forward, training
    (100, 64, 256, 256): (90.0, 82.0),
    (50, 64, 512, 512): (90.0, 86.0),
    (100, 32, 64, 128): (None, 78.0),
    (100, 8, 512, 512): (None, None),
    (100, 1, 256, 256): (None, None),
}
BEST_OF = 20


def rows(options: Options) -> Iterator[Row]:
    for shape, promised in SHAPES.items():
        for kind in ("LSTM", "GRU", "Elman"):
            yield measure(kind, shape, promised, options.threads)


def measure(kind: str, shape: Shape, promised: tuple[float | None, float | None], threads: int) -> Row:
    cell, rates = passes(kind, shape), list[float]()
    sides = {"forward": cell.forward, "training": cell.training, "peak": lambda: rates.append(peak(threads, 1))}
    best = {name: min(values) for name, values in take_turns(sides, rounds=BEST_OF, warm=1).items()}
    row: Row = {"cell": kind, "(T, B, input, hidden)": str(shape)}
    for name, factor, bar in zip(("forward", "training"), (1, 3), promised, strict=True):
        percent = 100 * factor * cell.operations / best[name] / max(rates)
        row |= {f"{name} ms": 1e3 * best[name], f"{name} % of peak": percent, f"{name} at least": bar}
    return row | {"peak GF/s": max(rates) * 1e-9}
