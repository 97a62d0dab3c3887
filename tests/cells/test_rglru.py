from __future__ import annotations

import math

import pytest
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm


def step(p, x, s):
    r, i = (sigm(x @ p[f"W_{k}"].T + p[f"b_{k}"]) for k in "ax")
    a = sigm(p["Lambda"]) ** (8 * r)
    h = a * s["h"] + (1 - a**2) ** 0.5 * (i * x)
    return {"h": h}


def test_step() -> None:
    equals_by_hand("RGLRU", step)


def test_its_decays_start_between_0_9_and_0_999() -> None:
    for c in (8.0, 3.0):
        layer = Recurrent(cells.RGLRU(c=c), 2000, 2000, dtype=torch.float64)
        decay = torch.sigmoid(layer.Lambda_l0) ** c
        assert (decay >= 0.9).all() and (decay <= 0.999).all() and abs(decay.mean() - 0.9495) < 0.003


def test_a_decay_of_one_holds_the_state_and_has_a_finite_gradient() -> None:
    for dtype in (torch.float32, torch.float64):
        layer = Recurrent("RGLRU", 5, 5, dtype=dtype).initialize(b_a=-1000.0)
        first = torch.randn(1, 2, 5, dtype=dtype)
        y, state = layer(torch.ones(2000, 2, 5, dtype=dtype), {"h": first})
        assert torch.equal(state["h"], first) and torch.equal(y, first.expand_as(y))
        y.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_the_root_is_the_papers_until_its_slope_is_bounded() -> None:
    """One step from 0 with an open input gate gives the root itself; the gate a is near 1."""
    layer = Recurrent("RGLRU", 1, 1, dtype=torch.float64).initialize(W_a=0.0, W_x=0.0, b_x=1000.0, Lambda=5.0)
    for b_a in (0.0, -8.0, -12.0):
        layer.initialize(b_a=b_a)
        log_a = -8 * math.log1p(math.exp(-5.0)) / (1 + math.exp(-b_a))
        y, _ = layer(torch.ones(1, 1, 1, dtype=torch.float64))
        assert y.item() == pytest.approx(math.sqrt(-math.expm1(2 * log_a)), rel=1e-9)
    layer.initialize(b_a=-40.0)
    x = torch.ones(1, 1, 1, dtype=torch.float64)
    y, _ = layer(x)
    y.sum().backward()
    assert 0 <= y.item() < 1e-12 and abs(layer.b_a_l0.grad.item()) < 1e-12


def test_the_input_is_as_wide_as_the_state() -> None:
    assert str(cells.RGLRU.graph.forced_input) == "hidden"
