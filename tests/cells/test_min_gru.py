from __future__ import annotations

import numpy as np
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm


def step(p, x, s):
    z, n = sigm(x @ p["W_z"].T + p["b_z"]), x @ p["W_h"].T + p["b_h"]
    h = (1 - z) * s["h"] + z * n
    return {"h": h}


def test_step() -> None:
    equals_by_hand("MinGRU", step)


def test_nothing_multiplies_the_state_by_a_matrix() -> None:
    assert {p.name for p in cells.MinGRU.graph.parameters} == {"W_z", "b_z", "W_h", "b_h"}


def test_g_keeps_the_state_positive() -> None:
    torch.manual_seed(0)
    layer, plain = Recurrent(cells.MinGRU(positive=True), 3, 5), Recurrent(cells.MinGRU, 3, 5)
    x = torch.randn(40, 2, 3)
    assert (layer(x)[0] > 0).all() and (plain(x)[0] < 0).any()
    h = layer.trace(x)["h_l0"]
    z = torch.sigmoid(x @ layer.W_z_l0.T + layer.b_z_l0)
    v = x @ layer.W_h_l0.T + layer.b_h_l0
    g = torch.where(v >= 0, v + 0.5, torch.sigmoid(v))
    expected = [torch.zeros(2, 5)]
    for t in range(len(x)):
        expected.append((1 - z[t]) * expected[-1] + z[t] * g[t])
    torch.testing.assert_close(h, torch.stack(expected[1:]))


def test_the_state_is_an_average_of_candidates() -> None:
    """Of constant candidates it makes that constant, however long the sequence is."""
    layer = Recurrent("MinGRU", 3, 4).initialize(W_h=0.0, b_h=2.0, b_z=0.0)
    y, _ = layer(torch.randn(300, 2, 3))
    np.testing.assert_allclose(y[-1].detach(), 2.0, rtol=1e-5)
