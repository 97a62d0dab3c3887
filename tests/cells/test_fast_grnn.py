from __future__ import annotations

import numpy as np
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm


def step(p, x, s):
    h = s["h"]
    u = (x @ p["W_2"].T) @ p["W_1"].T + (h @ p["U_2"].T) @ p["U_1"].T
    z, n = sigm(u + p["b_z"]), np.tanh(u + p["b_n"])
    return {"h": (sigm(p["zeta"]) * (1 - z) + sigm(p["nu"])) * n + z * h}


def test_step() -> None:
    equals_by_hand("FastGRNN", step)


def test_the_ranks_are_sizes() -> None:
    sizes = cells.FastGRNN.resolve(9, 20, {"rank_w": 2, "rank_u": 5})
    shapes = {p.name: p.shape for p in cells.FastGRNN.parameters(sizes)}
    assert [shapes[name] for name in ("W_1", "W_2", "U_1", "U_2")] == [(20, 2), (2, 9), (20, 5), (5, 20)]


def test_it_starts_as_the_authors_code() -> None:
    layer = Recurrent("FastGRNN", 9, 20)
    assert layer.zeta_l0 == 1.0 and layer.nu_l0 == -4.0
    assert torch.equal(layer.b_z_l0, torch.ones(20)) and torch.equal(layer.b_n_l0, torch.ones(20))
