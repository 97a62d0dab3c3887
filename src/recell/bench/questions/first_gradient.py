"""How long from the definition of a new cell to its first gradient, cold?

In a fresh process that has imported torch and recell.nn, or JAX, and done nothing else; the clock runs from `@cell` until the
gradients of the input and all parameters are there. No file is left for the next process, and recell is given equations that
it never had before (one constant in them differs). The loss is a scalar, as a loss is: torch spends a quarter of a second on
imports of its own when `backward` is given a gradient for the first time. Medians of 3 processes a side. Beside: the same
cell as a plain loop in torch, through `torch.compile` (each step compiled; its caches are in a folder of the process's own),
and in JAX under `jit`.

What bounds it: recell compiles no code. Tracing, deriving the backward step, planning and building the programs of the native
runtime are Python; the first cell of a process also pays for reading those parts of the library, which a second one does not.
A plain loop in torch has nothing to derive, and is the slower one ever after (`own-cell`).
"""

from __future__ import annotations

import importlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from recell.bench import jax_sides
from recell.bench.report import Row, missing
from recell.bench.sides import Shape, inputs_of, optional
from recell.bench.timing import Options, Step, in_child

KIND = "module"
SHAPE: Shape = (20, 8, 64, 128)
AT_MOST = 0.2  # seconds
PROCESSES = 3
SECOND = "recell, the process's second cell"


def rows(options: Options) -> Iterator[Row]:
    first = {name: seconds for name in SIDES if (seconds := measure(name, options.threads)) is not None}
    for name in SIDES:
        row: Row = {"what": f"new cell, {tuple(SHAPE)}", "side": name}
        if name in first:
            row |= {"first gradient ms": 1e3 * first[name], "ratio": first[name] / first["recell"]}
            yield row | ({"at most": 1e3 * AT_MOST} if name == "recell" else {})
        elif name.startswith("JAX"):
            yield row | {"first gradient ms": missing("", name)["its ms"]}
        else:
            yield row | {"first gradient ms": "not measured: needs a C++ compiler"}


def measure(name: str, threads: int) -> float | None:
    """Median seconds of several fresh processes; None where the side is not there."""
    if (name.startswith("JAX") and optional("jax") is None) or ("compile" in name and shutil.which("c++") is None):
        return None
    return statistics.median(elsewhere(name, threads, number) for number in range(PROCESSES))


def elsewhere(name: str, threads: int, number: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return in_child(f"{__name__}:first_gradient", name, threads, number, environment={"TORCHINDUCTOR_CACHE_DIR": folder})


def first_gradient(name: str, threads: int, number: int) -> float:
    """Seconds, in this process, which must be fresh."""
    torch.set_num_threads(threads)
    x, dy = inputs_of(SHAPE)
    define, constant = SIDES[name], 0.5 + number / 100 + (os.getpid() % 997) / 1e6
    if name.startswith("JAX"):
        optional("jax").devices()  # what is loaded at the first use is no part of the cell
    if not name.startswith(
        "recell"
    ):  # its file is read before the clock starts; it defines a cell, which recell's process must not have done
        importlib.import_module("recell.bench.questions.own_cell")
    if name == SECOND:
        recell_cell(x, dy, constant / 2)()
    start = time.perf_counter()
    define(x, dy, constant)()
    return time.perf_counter() - start


def recell_cell(x: torch.Tensor, dy: torch.Tensor, constant: float) -> Step:
    import recell.nn as rnn
    from recell.language.cell import cell
    from recell.language.functions import sigmoid, tanh

    @cell
    def New(p: Any, x: Any, h: Any, c: Any) -> Any:
        i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
        f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
        g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
        o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
        c = f * c + (1 - f) * i * g * constant
        h = o * tanh(c)
        return h, c

    return gradient_of(rnn.Recurrent(New, *SHAPE[2:]), x, dy)


def gradient_of(module: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor) -> Step:
    return lambda: (module(x)[0] * dy).sum().backward()


def torch_loop(x: torch.Tensor, dy: torch.Tensor, constant: float, compiled: str = "") -> Step:
    from recell.bench.questions.own_cell import TorchLoop

    return gradient_of(TorchLoop(*SHAPE[2:], compiled), x, dy)


def torch_compiled(x: torch.Tensor, dy: torch.Tensor, constant: float) -> Step:
    return torch_loop(x, dy, constant, "step")


def jax_scan(x: torch.Tensor, dy: torch.Tensor, constant: float) -> Step:
    return jax_sides.training_step("own", SHAPE)


SIDES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], Step]] = {
    "recell": recell_cell,
    SECOND: recell_cell,
    "torch loop": torch_loop,
    "torch.compile, step": torch_compiled,
    "JAX lax.scan": jax_scan,
}
