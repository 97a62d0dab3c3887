"""How much faster is the forward pass with bf16 products than the same cell in float32?

Native entries of compiled plans on buffers made before, best of 20, both in turns in one process. Products take bf16 operands
and add in float32; states and outputs stay float32. The error is the largest difference of an output from the float32 pass,
relative to the largest output.

What bounds it: the percentages are of the FMA peak, and of twice that for bf16, whose instruction multiplies two pairs at
once. 2 x would need bf16 to come as near to its peak as float32 comes to its own; but the cell's pointwise instructions are
float32 on both sides, so the same milliseconds are twice the share of a bf16 pass. Where `recell doctor` says that bf16
products are imitated, they are no faster.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recell.bench.native import Shape, passes
from recell.bench.report import Row
from recell.bench.timing import Options, peak, take_turns
from recell.compiler.backends.cpu import library

KIND = "kernel"
SHAPES: dict[Shape, float] = {  # at least this ratio was promised
    (50, 64, 512, 512): 1.8,
    (100, 20, 1024, 1024): 2.0,
    (20, 64, 1024, 1024): 2.0,
}


def rows(options: Options) -> Iterator[Row]:
    for shape, promised in SHAPES.items():
        for kind in ("LSTM", "GRU", "Elman"):
            yield measure(kind, shape, promised, options.threads)


def measure(kind: str, shape: Shape, promised: float, threads: int) -> Row:
    single, half, rates = passes(kind, shape), passes(kind, shape, "bfloat16"), list[float]()
    sides = {"single": single.forward, "half": half.forward, "peak": lambda: rates.append(peak(threads, 1))}
    best = {name: min(values) for name, values in take_turns(sides, rounds=20, warm=1).items()}
    share = single.operations / max(rates)
    return {
        "cell": kind, "(T, B, input, hidden)": str(shape),
        "fp32 ms": 1e3 * best["single"], "% of peak": 100 * share / best["single"],
        "bf16 ms": 1e3 * best["half"], "% of twice the peak": 50 * share / best["half"],
        "ratio": best["single"] / best["half"], "at least": promised,
        "relative error": float(np.abs(half.y - single.y).max() / np.abs(single.y).max()),
        "products": "native" if library.load().rc_bf16() == 1 else "imitated",
    }  # fmt: skip
