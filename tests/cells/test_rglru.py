from __future__ import annotations

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
    layer = Recurrent("RGLRU", 5, 5).initialize(b_a=-200.0)
    first = torch.randn(1, 2, 5)
    y, state = layer(torch.randn(30, 2, 5), {"h": first})
    torch.testing.assert_close(state["h"], first, atol=2e-2, rtol=0)
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_the_input_is_as_wide_as_the_state() -> None:
    assert str(cells.RGLRU.graph.forced_input) == "hidden"
