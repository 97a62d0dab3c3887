from __future__ import annotations

import numpy as np
import torch

from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm


def step(p, x, s):
    z, f, o = (x @ p[f"W_{k}"].T + s["v"] @ p[f"V_{k}"].T + p[f"b_{k}"] for k in "zfo")
    c = sigm(f) * s["c"] + (1 - sigm(f)) * np.tanh(z)
    return {"c": c, "v": x, "output": sigm(o) * c}


def test_step() -> None:
    equals_by_hand("QRNN", step)


def test_its_gates_are_a_convolution_of_width_two() -> None:
    torch.manual_seed(0)
    layer, x = Recurrent("QRNN", 3, 5), torch.randn(9, 2, 3)
    kernel = torch.stack([layer.V_z_l0, layer.W_z_l0], 2)  # (out, in, 2): the step before, then this one
    padded = torch.nn.functional.pad(x.permute(1, 2, 0), (1, 0))
    expected = torch.tanh(torch.nn.functional.conv1d(padded, kernel, layer.b_z_l0)).permute(2, 0, 1)
    torch.testing.assert_close(layer.trace(x)["z_l0"], expected)
