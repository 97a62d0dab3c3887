from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.cells.by_hand import equals_by_hand, parameters_of, sigm
from tests.contract.harness import case_of, forward


def branches(p, x, h):
    z = 1.7159 * np.tanh(0.666 * (x @ p["W"].T + h @ p["U"].T + p["b"]))
    return (z @ p[f"V_{k}"].T + p[f"b_{k}"] for k in "abgk")


def step(p, x, s, dt):
    """As the authors' code has it: an interpolation by sigma(a dt + b)."""
    a, b, g, k = branches(p, x, s["h"])
    t = sigm(a * dt + b)
    return {"h": np.tanh(g) * (1 - t) + t * np.tanh(k)}


def test_step() -> None:
    equals_by_hand("CfC", step)


def test_after_a_long_time_the_gate_is_shut() -> None:
    """The closed form's limit: g where f is below zero, k where it is above."""
    case = case_of("CfC", steps=1)
    y = forward(replace(case, elapsed=np.full((1, case.rows), 1e9)), "reference")["y"][0]
    a, _, g, k = branches(parameters_of(case), case.x[0], case.states[0])
    np.testing.assert_allclose(y, np.tanh(np.where(a < 0, g, k)), atol=1e-12)
