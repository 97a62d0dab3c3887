"""Parity: at every step, is the number of ones so far odd? Learned from 20 steps, measured on 200.

A network that follows exactly never goes wrong, however long the sequence; one that only counts a little way does. MinGRU and LRU
are linear in their state with factors that cannot turn its sign by an input, and cannot follow at all.

    python examples/parity.py [--cells LSTM,GRU,Elman,MinGRU,LRU] [--steps N] [--seed 10] [--threads 2]
"""

from __future__ import annotations

import torch
from long_memory import Batch, Recipe, Task, cross_entropy, main, wrong

from recell.data import parity

LEARNED, MEASURED = 20, 200


def draw(count: int, seed: int) -> Batch:
    return Batch(*map(torch.from_numpy, parity(count, LEARNED, seed)))


def draw_longer(count: int, seed: int) -> Batch:
    return Batch(*map(torch.from_numpy, parity(count, MEASURED, seed)))


TASK = Task(
    title=f"Parity at every step, learned from {LEARNED} steps, measured on {MEASURED}",
    inputs=1, outputs=2, draw=draw, loss=cross_entropy, error=wrong, figure="wrong", chance=0.5, every_step=True,
    draw_measured=draw_longer, measured=1000,
    recipes={
        "LSTM": Recipe("LSTM", 32, 1000, 1e-2),
        "GRU": Recipe("GRU", 32, 1000, 1e-2),
        "Elman": Recipe("Elman", 32, 1000, 1e-2),
        "MinGRU": Recipe("MinGRU", 32, 1000, 1e-2),
        "LRU": Recipe("LRU", 32, 1000, 1e-2),
    },
)  # fmt: skip

if __name__ == "__main__":
    main(TASK)
