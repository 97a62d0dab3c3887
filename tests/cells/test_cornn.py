from __future__ import annotations

from dataclasses import replace

import numpy as np

from recell import cells
from tests.cells.by_hand import equals_by_hand
from tests.contract.harness import case_of, forward, make


def step(p, x, s, dt=0.042, gamma=2.7, epsilon=4.7):
    y, z = s["y"], s["z"]
    drive = np.tanh(x @ p["W"].T + y @ p["U_y"].T + z @ p["U_z"].T + p["b"])
    z = z + dt * (drive - gamma * y - epsilon * z)
    return {"y": y + dt * z, "z": z}


def test_step() -> None:
    equals_by_hand("CoRNN", step)
    other = make(cells.CoRNN(dt=0.3, gamma=0.9, epsilon=0.1), case_of("CoRNN").sizes)
    equals_by_hand(other, lambda p, x, s: step(p, x, s, 0.3, 0.9, 0.1))


def test_without_drive_and_damping_units_swing_with_the_square_root_of_gamma() -> None:
    """y'' = -gamma y: after half a period 2 pi / sqrt(gamma) / 2 a unit that was let go stands on the other side."""
    steps = 500
    dt = np.pi / np.sqrt(2.5) / steps
    cell = cells.CoRNN(dt=dt, gamma=2.5, epsilon=0.0)
    case = make(cell, case_of("CoRNN").sizes, steps=steps)
    still = tuple(np.zeros_like(a) for a in case.parameters)
    start = case.states[0]
    y = forward(replace(case, parameters=still, states=(start, np.zeros_like(start))), "reference")["y"]
    np.testing.assert_allclose(y[-1], -start, atol=1e-4)
