"""Copying: ten symbols of eight kinds, 99 blanks, a sign, and then the ten symbols again, in their order.

A network without memory has a cross-entropy of 10 ln 8 / 120 = 0.173 nats per step. Gated cells fall to that and stay there: the
ten answers are ten separate memories, to be opened one by one. A linear recurrent unit (LRU) needs no gate. The answer at
every step is the input of 110 steps before, a filter, and a sum of rotations that fade slowly can be any filter of its length.

    python examples/copy_memory.py [--cells LRU,LSTM,GRU,Elman] [--steps N] [--seed 10] [--threads 2]
"""

from __future__ import annotations

import torch
from long_memory import Batch, Recipe, Task, chrono, cross_entropy, main

from recell import cells
from recell.data import copy, copy_chance
from recell.data.long_memory import COPY_SYMBOLS

GAP = 100


def draw(count: int, seed: int) -> Batch:
    inputs, targets = copy(count, GAP, seed)
    return Batch(torch.nn.functional.one_hot(torch.from_numpy(inputs), COPY_SYMBOLS).float(), torch.from_numpy(targets))


GATES = f"gates' biases for 1 to {GAP + 20} steps (Tallec & Ollivier 2018)"
TASK = Task(
    title=f"Copying over {GAP} steps (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016)",
    inputs=COPY_SYMBOLS, outputs=COPY_SYMBOLS, draw=draw, loss=cross_entropy, error=cross_entropy, figure="cross-entropy",
    chance=copy_chance(GAP), every_step=True, batch=20, measured=1000,
    recipes={
        "LRU": Recipe(cells.LRU(r_min=0.99, r_max=0.999), 256, 500, 1e-2, note="moduli of .99 to .999"),
        "LSTM": Recipe("LSTM", 100, 1500, 3e-3, chrono(GAP + 20), GATES),
        "GRU": Recipe("GRU", 100, 1500, 3e-3, chrono(GAP + 20), GATES),
        "Elman": Recipe("Elman", 100, 1500, 1e-3),
    },
)  # fmt: skip

if __name__ == "__main__":
    main(TASK)
