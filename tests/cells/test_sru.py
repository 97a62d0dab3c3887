from __future__ import annotations

import math

import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import make


def step(p, x, s, alpha=3**0.5):
    f = sigm(x @ p["W_f"].T + p["v_f"] * s["c"] + p["b_f"])
    r = sigm(x @ p["W_r"].T + p["v_r"] * s["c"] + p["b_r"])
    c = f * s["c"] + (1 - f) * (x @ p["W"].T)
    return {"c": c, "output": r * c + (1 - r) * alpha * x}


def test_step() -> None:
    equals_by_hand("SRU", step)
    unscaled = cells.SRU(alpha=1.0)
    equals_by_hand(make(unscaled, unscaled.resolve(5, 5)), lambda p, x, s: step(p, x, s, 1.0))


def test_its_highway_keeps_the_variance_of_the_input_at_the_start() -> None:
    """Section 3.2 of the paper: Var(h) is nearly Var(x) in every layer of a deep stack."""
    torch.manual_seed(3)
    x = torch.randn(40, 30, 300)
    spread = {}
    for alpha in (math.sqrt(3), 1.0):
        y, _ = Recurrent(cells.SRU(alpha=alpha), 300, 300, num_layers=4)(x)
        spread[alpha] = float(y.detach()[10:].std())
    assert abs(spread[math.sqrt(3)] - 1) < 0.1 and spread[1.0] < 0.5


def test_the_highway_forces_the_input_to_be_as_wide_as_the_state() -> None:
    assert str(cells.SRU.graph.forced_input) == "hidden"


def test_its_weights_start_with_the_variance_of_one_over_the_width() -> None:
    layer = Recurrent("SRU", 200, 200)
    bound = math.sqrt(3 / 200)
    for name in ("W_l0", "W_f_l0", "W_r_l0"):
        W = getattr(layer, name)
        assert 0.99 * bound < W.abs().max() <= bound and abs(200 * W.var() - 1) < 0.05
    assert not layer.b_f_l0.any() and not layer.b_r_l0.any()
