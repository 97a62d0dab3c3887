from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from recell import cells, tanh
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, parameters_of, relu
from tests.contract.harness import case_of, everything, make


def step(p, x, s, activation=relu):
    return {"h": activation(x @ p["W"].T + p["u"] * s["h"] + p["b"])}


def test_step() -> None:
    equals_by_hand("IndRNN", step)
    case = make(cells.IndRNN(activation=tanh), case_of("IndRNN").sizes)
    equals_by_hand(case, lambda p, x, s: step(p, x, s, np.tanh))


def test_the_gradient_through_time_is_a_power_of_the_weight() -> None:
    """Of units that stay above zero, d h_T / d h_0 = u^T: what the paper bounds."""
    case = case_of("IndRNN")
    p = parameters_of(case)
    p |= {"b": np.full_like(p["b"], 9.0), "u": np.abs(p["u"])}
    high = np.full_like(case.states[0], 9.0)
    alone = replace(case, states=(high,), dy=0 * case.dy, parameters=tuple(p[q.name] for q in case.cell.graph.parameters))
    slope = everything(alone, "reference")["d initial h"]
    np.testing.assert_allclose(slope, case.dstates[0] * p["u"] ** case.steps, rtol=1e-12)


def test_its_recurrent_weights_start_between_none_and_one() -> None:
    torch.manual_seed(5)
    u = Recurrent("IndRNN", 3, 4000).u_l0
    assert 0 <= u.min() < 0.01 and 0.99 < u.max() <= 1 and abs(u.mean() - 0.5) < 0.02
