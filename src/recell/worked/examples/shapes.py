"""The shapes of sequence problems: one to one, one to many, many to one, many to many out of step and in step.

Each is a model of a few lines around the same recurrent layer. The second table shows the functions that have just run,
on one random sequence (T, batch, size); what differs is which inputs there are and which outputs are read.

    one to one            no sequence at all: a layer
    one to many           the input is given once; each output is the next input
    many to one           the last state has read everything
    many to many          out of step: the last state of a reader starts a writer (Sutskever et al. 2014)
    many to many          in step: an output a step, of the inputs up to it
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import recell.nn as rnn
from recell.worked.learning import seeded
from recell.worked.table import Worked, table, worked


def one_to_one(x: Tensor) -> Tensor:
    hidden = nn.Linear(3, 4)
    output = nn.Linear(4, 2)
    return output(hidden(x).tanh())


def one_to_many(x: Tensor) -> Tensor:
    step, output = rnn.Step("GRU", 3, 4), nn.Linear(4, 3)
    ys, state = [x[0]], None
    for _ in range(5):
        h, state = step(ys[-1], state)
        ys.append(output(h))
    return torch.stack(ys[1:])


def many_to_one(x: Tensor) -> Tensor:
    network = rnn.Recurrent("GRU", 3, 4)
    output = nn.Linear(4, 2)
    y, _ = network(x)
    return output(y[-1:])


def many_to_many_out_of_step(x: Tensor) -> Tensor:
    reader, writer = rnn.Recurrent("GRU", 3, 4), rnn.Recurrent("GRU", 2, 4)
    output = nn.Linear(4, 2)
    _, thought = reader(x)
    y, _ = writer(torch.zeros(5, 1, 2), thought)  # in training: the target, one step late
    return output(y)


def many_to_many_in_step(x: Tensor) -> Tensor:
    network = rnn.Recurrent("GRU", 3, 4)
    output = nn.Linear(4, 2)
    y, _ = network(x)
    return output(y)


MODELS: dict[Callable[[Tensor], Tensor], tuple[int, str]] = {  # the model -> its steps of input, and what it is used for
    one_to_one: (1, "a picture, its class"),
    one_to_many: (1, "a picture, its caption"),
    many_to_one: (4, "a sentence, its class"),
    many_to_many_out_of_step: (4, "a sentence, its translation"),
    many_to_many_in_step: (4, "words, a label for each"),
}


def shapes(seed: int = 0) -> Worked:
    """Runs the five models; their weights are drawn by `seed`."""
    rows: list[tuple[Any, ...]] = []
    code: list[tuple[str]] = []
    for model, (steps, such_as) in MODELS.items():
        with seeded(seed):
            x = torch.randn(steps, 1, 3)
            y = model(x)
        name = model.__name__.replace("_", " ")
        rows.append((name, such_as, tuple(x.shape), tuple(y.shape)))
        code.append((inspect.getsource(model).rstrip(),))
    return worked(
        __doc__,
        table(("shape", "such as", "x", "y"), rows),
        table(("code",), code),
        source="recell.nn; the five shapes: Karpathy, The unreasonable effectiveness of RNNs (2015)",
    )
