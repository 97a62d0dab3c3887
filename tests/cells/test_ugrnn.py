from __future__ import annotations

import numpy as np
import torch

from recell import cells, relu
from recell.nn import Recurrent
from tests.cells.by_hand import affine, equals_by_hand, sigm
from tests.cells.by_hand import relu as relu_by_hand
from tests.contract.harness import case_of, make


def step(p, x, s, activation=np.tanh):
    g = sigm(affine(p, "g", x, s["h"]))
    return {"h": g * s["h"] + (1 - g) * activation(affine(p, "c", x, s["h"]))}


def test_step() -> None:
    equals_by_hand("UGRNN", step)


def test_the_activation_is_a_constant() -> None:
    case = make(cells.UGRNN(activation=relu), case_of("UGRNN").sizes)
    equals_by_hand(case, lambda p, x, s: step(p, x, s, relu_by_hand))


def test_its_gate_starts_at_one() -> None:
    layer = Recurrent("UGRNN", 3, 5)
    assert torch.equal(layer.b_g_l0, torch.ones(5)) and not torch.equal(layer.b_c_l0, torch.ones(5))
