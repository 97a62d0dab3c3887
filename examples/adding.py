"""The adding problem over 150 steps: the sum of two marked numbers among 150, the first of them 75 to 150 steps ago.

Always answering 1 has a squared error of 1/6. An Elman network stays there: its gradients vanish long before the first mark.
LSTM and GRU start with gates that keep for 1 to 150 steps; an IRNN starts as a sum of all that it is shown.

    python examples/adding.py [--cells LSTM,GRU,IRNN,Elman] [--steps N] [--seed 10] [--threads 2]
"""

from __future__ import annotations

import torch
from long_memory import Batch, Recipe, Task, chrono, main
from torch import Tensor

from recell.data import adding
from recell.data.long_memory import ADDING_CHANCE

STEPS = 150


def draw(count: int, seed: int) -> Batch:
    return Batch(*map(torch.from_numpy, adding(count, STEPS, seed)))


def squared_error(answers: Tensor, targets: Tensor) -> Tensor:
    return (answers[:, 0] - targets).square().mean()


GATES = f"gates' biases for 1 to {STEPS} steps (Tallec & Ollivier 2018)"
TASK = Task(
    title=f"Adding problem, {STEPS} steps (Hochreiter & Schmidhuber 1997; Le, Jaitly & Hinton 2015)",
    inputs=2, outputs=1, draw=draw, loss=squared_error, error=squared_error, figure="squared error", chance=ADDING_CHANCE,
    recipes={
        "LSTM": Recipe("LSTM", 64, 2500, 3e-3, chrono(STEPS), GATES),
        "GRU": Recipe("GRU", 64, 2000, 3e-3, chrono(STEPS), GATES),
        "IRNN": Recipe("IRNN", 64, 12_000, 5e-4, note="the identity, input weights of deviation 0.001", warmup=1000),
        "Elman": Recipe("Elman", 64, 2500, 1e-3),
    },
)  # fmt: skip

if __name__ == "__main__":
    main(TASK)
