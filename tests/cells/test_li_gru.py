from __future__ import annotations

import torch

from recell.nn import Recurrent
from tests.cells.by_hand import affine, equals_by_hand, relu, sigm


def step(p, x, s):
    z = sigm(affine(p, "z", x, s["h"]))
    return {"h": z * s["h"] + (1 - z) * relu(affine(p, "n", x, s["h"]))}


def test_step() -> None:
    equals_by_hand("LiGRU", step)


def test_its_recurrent_matrices_start_orthogonal_and_its_biases_at_zero() -> None:
    layer = Recurrent("LiGRU", 3, 6)
    for gate in "zn":
        U = getattr(layer, f"U_{gate}_l0")
        torch.testing.assert_close(U @ U.T, torch.eye(6))
        assert not getattr(layer, f"b_{gate}_l0").any()
        assert getattr(layer, f"W_{gate}_l0").abs().max() <= (6 / 9) ** 0.5
