from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import case_of, make


def step(p, x, state, depth=4):
    s = state["s"]
    for k in range(1, depth + 1):
        h, t = (s @ p[f"R_{gate}_{k}"].T + p[f"b_{gate}_{k}"] for gate in "ht")
        if k == 1:
            h, t = h + x @ p["W_h"].T, t + x @ p["W_t"].T
        s = np.tanh(h) * sigm(t) + s * (1 - sigm(t))
    return {"s": s}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_step(depth: int) -> None:
    case = make(cells.RecurrentHighway(depth=depth), case_of("RecurrentHighway").sizes)
    equals_by_hand(case, lambda p, x, s: step(p, x, s, depth))


def test_every_transform_gate_starts_nearly_closed() -> None:
    layer = Recurrent(cells.RecurrentHighway(depth=3), 3, 5)
    for k in (1, 2, 3):
        assert torch.equal(getattr(layer, f"b_t_{k}_l0"), torch.full((5,), -2.0))
