"""What does a cell of one's own cost in training, beside the shipped LSTM and beside the same cell in torch and in JAX?

The cell is an LSTM whose input gate is tied to what was forgotten, which no framework has a kernel for. In torch it is
written as its users write it, the input's products for all steps at once and a Python loop over the steps; that loop as it
stands, with each step through `torch.compile`, and with the whole loop through it; in JAX with `lax.scan` under `jit`. A step
is forward and backward with the gradients of the input and all parameters; sides take turns in one process, medians. `first
s` is the first call: what compiling costs.

What bounds it: a cell of one's own runs the kernels that the shipped one does, and has two pointwise instructions more. A
loop in torch costs a dozen operator calls a step each way, and a compiled one still calls a matrix product once a step.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import recell.nn as rnn
from recell.bench import jax_sides
from recell.bench.report import Row, against, missing
from recell.bench.sides import Shape, inputs_of, optional, training_step
from recell.bench.timing import Options, Step, medians, take_turns
from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh

KIND = "module"
SHAPE: Shape = (100, 32, 128, 128)
PROMISED = {"recell LSTM": 0.95}  # within 5 %


@cell
def Tied(p: Any, x: Any, h: Any, c: Any) -> Any:
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + (1 - f) * i * g
    h = o * tanh(c)
    return h, c


class TorchLoop(torch.nn.Module):
    """The same cell as a loop in torch; `step` and `whole` may be compiled."""

    def __init__(self, inputs: int, hidden: int, compiled: str = "") -> None:
        super().__init__()
        self.input, self.recurrent = torch.nn.Linear(inputs, 4 * hidden), torch.nn.Linear(hidden, 4 * hidden, bias=False)
        self.step: Callable[..., Any] = torch.compile(tied_step) if compiled == "step" else tied_step
        self.whole: Callable[..., Any] = torch.compile(self.loop) if compiled == "whole" else self.loop

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.whole(self.input(x)), None

    def loop(self, given: Tensor) -> Tensor:
        h = c = given.new_zeros(given.shape[1], given.shape[2] // 4)
        ys: list[Tensor] = []
        for part in given.unbind():
            h, c = self.step(part, h, c, self.recurrent.weight)
            ys.append(h)
        return torch.stack(ys)


def tied_step(given: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = torch.addmm(given, h, weight.t()).chunk(4, dim=1)
    f = f.sigmoid()
    c = f * c + (1 - f) * i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def rows(options: Options) -> Iterator[Row]:
    x, dy = inputs_of(SHAPE)
    inputs, hidden = SHAPE[2:]
    modules: dict[str, torch.nn.Module] = {"recell": rnn.Recurrent(Tied, inputs, hidden), "recell LSTM": rnn.LSTM(inputs, hidden)}
    modules["torch loop"] = TorchLoop(inputs, hidden)
    if shutil.which("c++") is not None:
        modules |= {f"torch.compile, {part}": TorchLoop(inputs, hidden, part) for part in ("step", "whole")}
    sides: dict[str, Step] = {name: training_step(module, x, dy) for name, module in modules.items()}
    if optional("jax") is not None:
        sides |= jax_sides.training_steps("own", SHAPE)
    torch.compiler.config.force_disable_caches = True  # so that `first s` is what a new cell costs
    first = {name: seconds_of(step) for name, step in sides.items()}
    seconds = medians(take_turns(sides, rounds=9, warm=1, settle=1, rest=0.03))
    for name in sides:
        if name != "recell":
            yield against(f"{tuple(SHAPE)}", name, seconds, at_least=PROMISED.get(name)) | {"first s": first[name]}
    if "torch.compile, step" not in sides:
        yield {"what": f"{tuple(SHAPE)}", "beside": "torch.compile", "its ms": "not measured: needs a C++ compiler"}
    if optional("jax") is None:
        yield missing(f"{tuple(SHAPE)}", "JAX lax.scan")


def seconds_of(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
