from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import agree, case_of, forward


def gates(p, x, h):
    return (x @ p[f"W_{k}"].T + h @ p[f"R_{k}"].T + p[f"b_{k}"] for k in "ifzo")


def step(p, x, s):
    i, f, z, o = gates(p, x, s["h"])
    kept = s["m"] + np.log(sigm(f))
    m = np.maximum(kept, i)
    c = np.exp(kept - m) * s["c"] + np.exp(i - m) * np.tanh(z)
    n = np.exp(kept - m) * s["n"] + np.exp(i - m)
    h = sigm(o) * c / np.maximum(n, 1)
    return {"h": h, "c": c, "n": n, "m": m}


def test_step() -> None:
    equals_by_hand("SLSTM", step)


@pytest.mark.parametrize("forget, gate", [("sigmoid", sigm), ("exp", np.exp)])
def test_from_its_start_it_is_the_cell_without_stabiliser(forget, gate) -> None:
    case = case_of("SLSTM", steps=20)
    case = replace(case, cell=cells.SLSTM(forget=forget), states=case.fresh_states)
    p = {info.name: a for info, a in zip(case.cell.graph.parameters, case.parameters, strict=True)}
    h, c, n, outputs = 0 * case.states[0], 0 * case.states[0], 0 * case.states[0], []
    for x in case.x:
        i, f, z, o = gates(p, x, h)
        c, n = gate(f) * c + np.exp(i) * np.tanh(z), gate(f) * n + np.exp(i)
        h = sigm(o) * c / n
        outputs.append(h)
    agree({"y": forward(case, "reference")["y"]}, {"y": np.stack(outputs)})


def test_large_gates_neither_overflow_nor_lose_the_gradient() -> None:
    torch.manual_seed(0)
    layer = Recurrent("SLSTM", 3, 5).initialize(b_i=300.0, b_f=200.0)
    y, state = layer(torch.randn(50, 2, 3))
    y.sum().backward()
    assert y.isfinite().all() and (state["n"] >= 1).all()
    assert all(p.grad.isfinite().all() for p in layer.parameters()) and layer.W_z_l0.grad.abs().max() > 0


def test_one_step_from_its_start_writes_the_candidate_whole() -> None:
    layer, x = Recurrent("SLSTM", 3, 5), torch.randn(1, 4, 3)
    y, _ = layer(x)
    z, o = (x[0] @ getattr(layer, f"W_{k}_l0").T + getattr(layer, f"b_{k}_l0") for k in "zo")
    torch.testing.assert_close(y[0], torch.sigmoid(o) * torch.tanh(z))
    found = torch.autograd.grad(y.sum(), [layer.b_z_l0, layer.b_i_l0])
    expected = torch.autograd.grad((torch.sigmoid(o) * torch.tanh(z)).sum(), layer.b_z_l0)
    torch.testing.assert_close(found, (*expected, torch.zeros(5)))
