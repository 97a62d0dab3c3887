from __future__ import annotations

import numpy as np
import torch

from recell import worked
from recell.nn import Recurrent
from recell.worked.examples.vanishing import gradient_by_lag
from recell.worked.learning import seeded
from tests.by_hand.setting import agree


def test_a_thousand_steps_of_one_weight() -> None:
    example = worked.vanishing(cells=("Elman",))
    assert example.column("w") == (1.01, 1.0, 0.99, 0.01)
    powers, slopes = (np.array(example.column(name)) for name in example.columns[1:])
    agree(powers[:3] / np.power((1.01, 1.0, 0.99), 999), np.ones(3))
    agree(slopes[:3] / (999 * np.power((1.01, 1.0, 0.99), 998)), np.ones(3))
    assert powers[0] > 20000 and 0 < powers[2] < 1e-4 and powers[3] == slopes[3] == 0


def test_gradients_vanish_in_elman_and_reach_far_in_irnn_and_an_open_lstm() -> None:
    norms = worked.vanishing().more[0]
    last = dict(zip(norms.columns, norms.rows[-1], strict=True))
    assert last["lag"] == 100 and norms.rows[0][1:] == (1.0,) * 5
    assert last["Elman"] < last["GRU"] < 1e-10 and last["LSTM"] < 1e-10
    assert last["IRNN"] > 0.05 and last["LSTM, b_f = 3"] > 0.05


def test_the_norms_are_torchs() -> None:
    with seeded(4):
        x = torch.randn(4, 8, 16, dtype=torch.float64, requires_grad=True)
        ours = Recurrent("Elman", 16, 64, dtype=torch.float64)
        direction = torch.randn(8, 64, dtype=torch.float64)
    h = torch.zeros(8, 64, dtype=torch.float64)
    for step in x:
        h = torch.tanh(step @ ours.W_l0.T + h @ ours.U_l0.T + ours.b_l0)
    (h * direction).sum().backward()
    agree(gradient_by_lag("Elman", 3, 4), [float(x.grad[t].norm()) for t in (3, 2, 1, 0)])


def test_any_cell_of_the_zoo() -> None:
    assert worked.vanishing(cells=("SCRN", "MGU"), seed=2).more[0].columns == ("lag", "SCRN", "MGU")
