from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import expm

from recell import cells
from recell.cells import lmu
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand


def step(p, x, s):
    h, m = s["h"], s["m"]
    u = (x @ p["e_x"] + h @ p["e_h"] + m @ p["e_m"])[:, None]
    m = m @ p["A"].T + p["B"] * u
    return {"h": np.tanh(x @ p["W_x"].T + h @ p["W_h"].T + m @ p["W_m"].T), "m": m}


def continuous(order: int) -> tuple[np.ndarray, np.ndarray]:
    """The paper's equation 2, entry by entry."""
    a, b = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        b[i] = (2 * i + 1) * (-1) ** i
        for j in range(order):
            a[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
    return a, b


def test_step() -> None:
    equals_by_hand("LMU", step)


def test_the_memory_is_discretised_by_zero_order_hold() -> None:
    for order, theta in ((1, 3.0), (6, 25.0), (64, 200.0), (256, 784.0)):
        a, b = continuous(order)
        step_a, step_b = lmu.held(order, theta)
        expected = expm(a / theta)
        np.testing.assert_allclose(step_a, expected, atol=1e-10 * np.abs(expected).max())
        np.testing.assert_allclose(step_b, np.linalg.solve(a, (expected - np.eye(order)) @ b), atol=1e-9)


def test_its_memory_holds_the_window() -> None:
    """Legendre polynomials of the coefficients give back u as it was theta / 2 steps ago."""
    order, theta, steps = 12, 60.0, 200
    a, b = lmu.held(order, theta)
    u = np.sin(np.arange(steps) * 0.11) + 0.4 * np.cos(np.arange(steps) * 0.05)
    m, read = np.zeros(order), []
    middle = np.polynomial.legendre.legvander(np.array([0.0]), order - 1)[0]  # P_i(2 r - 1) at r = 1/2
    for value in u:
        m = a @ m + b * value
        read.append(middle @ m)
    held_until = np.arange(100, steps)  # after a step u has been held for the whole of it: half a step younger
    np.testing.assert_allclose(np.array(read)[held_until], (u[held_until - 29] + u[held_until - 30]) / 2, atol=5e-3)


def test_it_starts_as_the_authors_code() -> None:
    torch.manual_seed(2)
    layer = Recurrent(cells.LMU(theta=40.0), 700, 500, sizes={"order": 30})
    assert {name for name, _ in layer.named_buffers()} == {"A_l0", "B_l0"} and not layer.e_m_l0.any()
    a, b = lmu.held(30, 40.0)
    assert torch.equal(layer.A_l0, torch.tensor(a).float()) and torch.equal(layer.B_l0, torch.tensor(b).float())
    for encoder, fan_in in ((layer.e_x_l0, 700), (layer.e_h_l0, 500)):
        bound = (3 / fan_in) ** 0.5
        assert 0.98 * bound < encoder.abs().max() <= bound
    assert abs(layer.W_h_l0.std() / (2 / 1000) ** 0.5 - 1) < 0.02
    assert abs(layer.W_m_l0.std() / (2 / 530) ** 0.5 - 1) < 0.03
