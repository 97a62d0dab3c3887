from __future__ import annotations

import numpy as np
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand
from tests.contract.harness import case_of, make


def step(p, x, s, leak=0.3):
    h = s["h"]
    return {"h": (1 - leak) * h + leak * np.tanh(x @ p["W"].T + h @ p["U"].T + p["b"])}


def test_step() -> None:
    equals_by_hand("EchoState", step)
    quick = make(cells.EchoState(leak=0.9), case_of("EchoState").sizes)
    equals_by_hand(quick, lambda p, x, s: step(p, x, s, 0.9))


def test_the_reservoir_is_frozen_drawn_and_follows_the_seed() -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(8)
        made.append(Recurrent(cells.EchoState(radius=0.7, input_scale=0.1), 3, 80))
    layer, again = made
    assert not list(layer.parameters()) and layer.state_dict().keys() == {"W_l0", "U_l0", "b_l0"}
    assert abs(np.abs(np.linalg.eigvals(layer.U_l0.double())).max() - 0.7) < 1e-6
    assert 0.09 < layer.W_l0.abs().max() <= 0.1 and torch.equal(layer.U_l0, again.U_l0)
    assert not layer(torch.randn(5, 2, 3))[0].requires_grad


def test_it_forgets_where_it_came_from() -> None:
    """The echo state property: two runs over the same input meet, whatever they began with."""
    torch.manual_seed(9)
    layer = Recurrent(cells.EchoState(radius=0.9, leak=1.0), 2, 60, dtype=torch.float64)
    x = torch.randn(400, 1, 2, dtype=torch.float64)
    ends = [layer(x, {"h": start})[0][-1] for start in 3 * torch.randn(2, 1, 1, 60, dtype=torch.float64)]
    torch.testing.assert_close(ends[0], ends[1], atol=1e-10, rtol=0)
