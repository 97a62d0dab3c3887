"""How long does a training step take beside the same layer in JAX, `lax.scan` under `jit`?

Forward and backward with the gradients of the input and all parameters; in JAX the input's products are computed for all
steps before the loop, which is compiled with 1 and with 5 steps in one (`unroll`), and the faster is shown. JAX takes as many
threads as there are processors. Both sides take turns in one process, medians; a side's first step of a turn does not count,
for the other's threads may still be spinning.

What bounds it: nothing was promised here. `bound` is the ratio that no kernel of the same products can pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import recell.nn as rnn
from recell.bench import jax_sides
from recell.bench.report import Row, against, missing
from recell.bench.sides import Shape, inputs_of, optional, training_operations, training_step
from recell.bench.timing import Options, medians, peak, take_turns

KIND = "module"
SHAPES: tuple[Shape, ...] = ((100, 32, 64, 128), (100, 64, 256, 256), (50, 64, 512, 512))


def rows(options: Options) -> Iterator[Row]:
    for shape in SHAPES:
        for kind in ("LSTM", "GRU"):
            what = f"{kind} {tuple(shape)}"
            yield measure(what, kind, shape, options.threads) if optional("jax") is not None else missing(what, "JAX lax.scan")


def measure(what: str, kind: str, shape: Shape, threads: int) -> Row:
    sides = {"recell": training_step(getattr(rnn, kind)(*shape[2:]), *inputs_of(shape)), **jax_sides.training_steps(kind, shape)}
    seconds = medians(take_turns(sides, rounds=7, warm=1, settle=1, rest=0.03))
    best = min((name for name in seconds if name != "recell"), key=lambda name: seconds[name])
    return against(what, best, seconds) | {"bound": seconds[best] * peak(threads) / training_operations(kind, shape)}
