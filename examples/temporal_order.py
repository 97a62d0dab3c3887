"""Temporal order: was it X then Y, Y then X, twice X or twice Y? Told by the last of 100 to 110 symbols, 40 to 100 steps later.

Task 6a of Hochreiter & Schmidhuber (1997), whose LSTM of 156 weights answered 1 of 2,560 fresh sequences wrong after 31,390
sequences. Chance is three of four wrong.

    python examples/temporal_order.py [--cells LSTM,GRU,IRNN,Elman] [--steps N] [--seed 10] [--threads 2]
"""

from __future__ import annotations

import torch
from long_memory import Batch, Recipe, Task, chrono, cross_entropy, main, wrong

from recell.data import temporal_order

LONGEST = 110


def draw(count: int, seed: int) -> Batch:
    return Batch(*map(torch.from_numpy, temporal_order(count, seed=seed)))


GATES = f"gates' biases for 1 to {LONGEST} steps (Tallec & Ollivier 2018)"
TASK = Task(
    title="Temporal order, 100 to 110 steps (Hochreiter & Schmidhuber 1997, task 6a)",
    inputs=8, outputs=4, draw=draw, loss=cross_entropy, error=wrong, figure="wrong", chance=0.75,
    recipes={
        "LSTM": Recipe("LSTM", 32, 500, 1e-2, chrono(LONGEST), GATES),
        "GRU": Recipe("GRU", 32, 500, 1e-2, chrono(LONGEST), GATES),
        "IRNN": Recipe("IRNN", 64, 1500, 1e-3, note="the identity"),
        "Elman": Recipe("Elman", 64, 1500, 1e-3),
    },
)  # fmt: skip

if __name__ == "__main__":
    main(TASK)
