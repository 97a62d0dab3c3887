from __future__ import annotations

import numpy as np

from recell import cells
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import case_of, make


def step(p, x, s, dt=1.0):
    y, z = s["y"], s["z"]
    read = lambda k, state: x @ p[f"W_{k}"].T + state @ p[f"U_{k}"].T + p[f"b_{k}"]  # noqa: E731 - one line an equation
    step_z, step_y = dt * sigm(read("1", y)), dt * sigm(read("2", y))
    z = (1 - step_z) * z + step_z * np.tanh(read("z", y))
    return {"y": (1 - step_y) * y + step_y * np.tanh(read("y", z)), "z": z}


def test_step() -> None:
    equals_by_hand("LEM", step)


def test_a_longest_step_of_its_own() -> None:
    slow = make(cells.LEM(dt=0.03), case_of("LEM").sizes)
    equals_by_hand(slow, lambda p, x, s: step(p, x, s, 0.03))
