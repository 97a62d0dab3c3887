"""How long does a training step of a GRU take beside torch.nn's at DeepBench's training shapes?

The shapes and their source are in `recell/bench/deepbench.py`; the input is as wide as the layer, and more than 50 steps are
cut to 50 unless `--all` asks for the full ones. A step is forward and backward with the gradients of the input and all
parameters; both sides take turns in one process for most of a second, medians, and where one turn is longer than that, it
alone counts, after a warm-up of two time steps.

What bounds it: `bound` is the ratio that no kernel of the same products can pass; nothing was promised here. These layers are
wide: their weights fill the caches, and a training step packs them, and writes gradients of their size, however few the rows
and time steps are.
"""

from __future__ import annotations

from collections.abc import Iterator

from recell.bench.deepbench import deepbench_rows
from recell.bench.report import Row
from recell.bench.timing import Options

KIND = "module"


def rows(options: Options) -> Iterator[Row]:
    return deepbench_rows("GRU", options)
