"""How fast do cells without a recurrent product train, beside the LSTM of their size?

Their products are off every cycle and are computed for all steps at once; what is left of the loop over time is pointwise, a
scan. A step is forward and backward with the gradients of the input and all parameters; a cell and recell's own LSTM take
turns in one process, medians. An LRU of 128 units has 256 numbers of state, for its units are complex; one of 64 has 128.

What bounds it: `around` is the cell's step without its native passes: Python, torch's graph, the memory of results. `bound` is
the ratio of the LSTM's step to `around` and the cell's products at the FMA peak. `needs` is the percentage of the peak at which
the whole native part, scan included, would have to run for what is promised. The LSTM of this shape runs near the peak; a scan's
products are fewer and its streams as long.

Where the LRU of 128 units spends its time, some 34 ms (clocks around each phase of the native runtime, Python's clock around it;
2 cores of a Zen 4): 4 + 4 + 4 products, 26.8 at the FMA peak; 3.6 more in them, most of it while the lines of the next steps are
fetched (B forward 5.2 where 4.5 is the peak, C 4.9; backward C 5.5, B 5.0; weight gradients 9.9 where 8.9 is the peak, 0.45 of
that packing); the scan itself 0.5 forward, 1.2 backward with the sums of four vectors' gradients; waiting for the other thread
0.6; outside the kernel 2.2: 0.25 for what is computed of parameters, 0.5 for its gradients, the rest in module, bridge and
torch's graph. Memory is not what it waits for: with streams that only a few steps need in memory of these few steps (the same
pages mapped again and again), backward took the same time, and 60 steps take as long a step as 1000.

The host has two speeds at one FMA peak, each for minutes: the LSTM takes 65 or 77 ms and the LRU 34 to 36 or 38 to 41. What is
promised asks for 88 % of the peak from the LRU's whole native part in the one and 73 % in the other, and it runs at 84 and 70 (in
turns with the LSTM at 1 or 2 % less: the caches hold the other's). Others' products of these shapes alone, for all steps at once,
with nothing to wait for, reach 83, 80 and 76 % at best (torch's MKL told that the processor is Intel's: `recell bench
matrix-product`). Runs of this table gave the row 1.7 to 1.97, 1.9 in the middle.
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
