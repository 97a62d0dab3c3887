"""How fast do cells without a recurrent product train, beside the LSTM of their size?

Their products are off every cycle and are computed for all steps at once; what is left of the loop over time is pointwise, a
scan. A step is forward and backward with the gradients of the input and all parameters; a cell and recell's own LSTM take
turns in one process, medians. An LRU of 128 units has 256 numbers of state, for its units are complex; one of 64 has 128.

What bounds it: `around` is the cell's step without its native passes: Python, torch's graph, the memory of results. `bound` is
the ratio of the LSTM's step to `around` and the cell's products at the FMA peak. `needs` is the percentage of the peak at which
the whole native part, scan included, would have to run for what is promised. The LSTM of this shape runs near the peak; a scan's
products are fewer and its streams as long.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import recell.nn as rnn
from recell import cells
from recell.bench.native import around
from recell.bench.report import Row, against, bounds
from recell.bench.sides import Shape, inputs_of, training_step
from recell.bench.timing import Options, medians, peak, take_turns

KIND = "module"
SHAPE: Shape = (1000, 16, 128, 128)
PROMISED: tuple[tuple[str, int, float | None], ...] = (  # cell, hidden, at least
    ("MinGRU", 128, 2.0), ("MinLSTM", 128, 2.0), ("LRU", 128, 2.0), ("LRU", 64, 2.0), ("SRU", 128, 2.0), ("RGLRU", 128, None),
    ("IndRNN", 128, None), ("QRNN", 128, None),
)  # fmt: skip


def rows(options: Options) -> Iterator[Row]:
    for name, hidden, bar in PROMISED:
        yield measure(name, hidden, bar, options.threads)


def measure(name: str, hidden: int, bar: float | None, threads: int) -> Row:
    steps, batch, inputs, _ = SHAPE
    x, _ = inputs_of(SHAPE)
    modules = {"recell": rnn.Recurrent(name, inputs, hidden), "LSTM": rnn.Recurrent("LSTM", *SHAPE[2:])}
    sides = {side: training_step(module, x, torch.randn_like(module(x)[0])) for side, module in modules.items()}
    seconds = medians(take_turns(sides, rounds=9, warm=2))
    cell = cells.get(name)
    products = sum(p.shape[0] * p.shape[1] for p in cell.parameters(cell.resolve(inputs, hidden)) if len(p.shape) == 2)
    given = seconds | {"around": around(sides["recell"]), "peak": peak(threads)}
    row = against(f"{name} {(steps, batch, inputs, hidden)}", "LSTM", seconds, at_least=bar)
    return row | bounds(given, "LSTM", 6.0 * steps * batch * products, bar)
