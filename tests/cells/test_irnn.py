from __future__ import annotations

import torch

from recell import cells, relu
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand
from tests.cells.by_hand import relu as relu_by_hand


def step(p, x, s):
    return {"h": relu_by_hand(x @ p["W"].T + s["h"] @ p["U"].T + p["b"])}


def test_step() -> None:
    equals_by_hand("IRNN", step)


def test_it_is_an_elman_network_with_relu() -> None:
    assert cells.IRNN == cells.Elman(activation=relu)


def test_it_starts_as_the_identity_and_keeps_a_state_for_ever() -> None:
    torch.manual_seed(3)
    layer = Recurrent("IRNN", 50, 40)
    assert torch.equal(layer.U_l0, torch.eye(40)) and not layer.b_l0.any()
    assert 0.9e-3 < layer.W_l0.std() < 1.1e-3
    h = torch.rand(1, 2, 40)
    _, last = layer(torch.zeros(100, 2, 50), {"h": h})
    assert torch.equal(last["h"], h)
    torch.manual_seed(3)
    assert torch.equal(Recurrent("IRNN", 50, 40).W_l0, layer.W_l0)
