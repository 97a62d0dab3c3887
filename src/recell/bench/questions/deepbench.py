"""How long does a training step take beside torch.nn's at DeepBench's training shapes?

The shapes are those of Baidu Research, 2016-2018 (github.com/baidu-research/DeepBench, code/kernels/rnn_problems.h, Apache-2.0);
the input is as wide as the layer, and more than 50 steps are cut to 50 unless `--all` asks for the full ones. A step is forward
and backward with the gradients of the input and all parameters; both sides take turns in one process for most of a second,
medians, and where one turn is longer than that, it alone counts, after a warm-up of two time steps.

What bounds it: `bound` is the ratio that no kernel of the same products can pass; nothing was promised here. These layers are
wide: their weights fill the caches, and a training step packs them, and writes gradients of their size, however few the rows
and time steps are.
"""

from __future__ import annotations

from collections.abc import Iterator

from recell.bench.report import Row, against
from recell.bench.sides import Shape, training_operations, training_pair
from recell.bench.timing import Options, medians, peak, take_turns

KIND = "module"
SHAPES: dict[str, tuple[tuple[int, int, int], ...]] = {  # torch.nn's name: (hidden, batch, steps)
    "RNN": tuple((hidden, batch, 50) for hidden in (1760, 2048, 2560) for batch in (16, 32, 64, 128)),
    "LSTM": (
        *((hidden, batch, 25) for hidden in (512, 1024, 2048, 4096) for batch in (16, 32, 64, 128)),
        *((1536, batch, 50) for batch in (8, 16, 32)),
        *((256, batch, 150) for batch in (16, 32, 64)),
    ),
    "GRU": (
        *((hidden, 32, steps) for hidden in (2816, 2048, 1536, 2560) for steps in (1500, 750, 375, 187)),
        (512, 32, 1),
        (1024, 32, 1500),
        (1024, 64, 1500),
    ),
}
MOST_STEPS = 50
COUNTED_SECONDS = 0.7  # how long both sides take turns at a shape; where a turn is longer, one counts


def shapes_of(kind: str, full: bool) -> list[Shape]:
    """(T, B, input, hidden), each once; steps capped unless the full ones are asked for."""
    capped = ((steps if full else min(steps, MOST_STEPS), batch, hidden, hidden) for hidden, batch, steps in SHAPES[kind])
    return list(dict.fromkeys(capped))


def rows(options: Options) -> Iterator[Row]:
    for kind in SHAPES:
        for shape in shapes_of(kind, options.full):
            yield measure(kind, shape, options.threads)


def measure(kind: str, shape: Shape, threads: int) -> Row:
    rate = peak(threads, 5)
    expected = 2.5 * training_operations(kind, shape) / rate  # seconds of a turn of both sides, roughly
    sides = training_pair(kind, shape)
    if expected > COUNTED_SECONDS:  # two steps of the sequence warm up: a whole one would take as long as what counts
        take_turns(training_pair(kind, (min(2, shape[0]), *shape[1:])), rounds=1, warm=0)
        seconds = medians(take_turns(sides, rounds=1, warm=0))
    else:
        seconds = medians(take_turns(sides, rounds=min(7, round(COUNTED_SECONDS / expected)), warm=1))
    row = against(f"{kind} {shape}", "torch.nn", seconds)
    return row | {"bound": seconds["torch.nn"] * rate / training_operations(kind, shape)}
