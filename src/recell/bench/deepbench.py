"""DeepBench's training shapes for recurrent layers (Baidu Research, 2016-2018, github.com/baidu-research/DeepBench,

code/kernels/rnn_problems.h, Apache-2.0), and the rows that they make. Inputs are as wide as the layer.
"""

from __future__ import annotations

from collections.abc import Iterator

from recell.bench.report import Row, against
from recell.bench.sides import Shape, training_operations, training_pair
from recell.bench.timing import Options, medians, peak, take_turns

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


def deepbench_rows(kind: str, options: Options) -> Iterator[Row]:
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
