"""The LSTM by hand against central differences, torch and the compiler."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import by_hand
from recell.cells import get
from recell.compiler.build import Call, build
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random

STEPS, ROWS, INPUT, HIDDEN = 6, 3, 4, 5
BACKENDS = ("reference", "cpu")


def case() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = random(0)
    p = {name: 0.6 * rng.normal(size=shape) for name, shape in by_hand.lstm_shapes(INPUT, HIDDEN).items()}
    return rng.normal(size=(STEPS, ROWS, INPUT)), p, rng.normal(size=(ROWS, HIDDEN)), rng.normal(size=(ROWS, HIDDEN))


def adjoints() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = random(1)
    return rng.normal(size=(STEPS, ROWS, HIDDEN)), rng.normal(size=(ROWS, HIDDEN)), rng.normal(size=(ROWS, HIDDEN))


def test_the_derivation_is_the_gradient() -> None:
    x, p, h_0, c_0 = case()
    dh, dh_last, dc_last = adjoints()

    def loss() -> float:
        run = by_hand.lstm_forward(x, p, h_0, c_0)
        return float((run.h[1:] * dh).sum() + (run.h[-1] * dh_last).sum() + (run.c[-1] * dc_last).sum())

    found = by_hand.lstm_backward(by_hand.lstm_forward(x, p, h_0, c_0), dh, dh_last, dc_last)
    by_hand.gradient_check(loss, {**p, "x": x, "h_0": h_0, "c_0": c_0}, {**found.parameters, "x": found.dx, **found.initial})


def test_torch_gives_the_same() -> None:
    x, p, h_0, c_0 = case()
    dh, dh_last, dc_last = adjoints()
    module = torch.nn.LSTM(INPUT, HIDDEN).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(np.concatenate([p[f"W_{k}"] for k in "ifgo"])))
        module.weight_hh_l0.copy_(torch.from_numpy(np.concatenate([p[f"U_{k}"] for k in "ifgo"])))
        module.bias_ih_l0.copy_(torch.from_numpy(np.concatenate([p[f"b_{k}"] for k in "ifgo"])))
        module.bias_hh_l0.zero_()
    leaf = torch.from_numpy(x).requires_grad_()
    y, (h, c) = module(leaf, (torch.from_numpy(h_0)[None], torch.from_numpy(c_0)[None]))
    run = by_hand.lstm_forward(x, p, h_0, c_0)
    agree(run.h[1:], y.detach().numpy())
    agree(run.c[-1], c[0].detach().numpy())
    ((y * torch.from_numpy(dh)).sum() + (h * torch.from_numpy(dh_last)).sum() + (c * torch.from_numpy(dc_last)).sum()).backward()
    found = by_hand.lstm_backward(run, dh, dh_last, dc_last)
    agree(found.dx, leaf.grad.numpy())
    agree(np.concatenate([found.parameters[f"U_{k}"] for k in "ifgo"]), module.weight_hh_l0.grad.numpy())
    agree(np.concatenate([found.parameters[f"b_{k}"] for k in "ifgo"]), module.bias_hh_l0.grad.numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_compiler_gives_the_same(backend: str) -> None:
    x, p, h_0, c_0 = case()
    dh, dh_last, dc_last = adjoints()
    cell = get("LSTM")
    sizes = cell.resolve(INPUT, HIDDEN)
    names = [parameter.name for parameter in cell.parameters(sizes)]
    kernel = build(cell, sizes, backend=backend, dtype="float64")
    result = kernel.forward(Call(x, (h_0, c_0), tuple(p[name] for name in names)), save=True)
    run = by_hand.lstm_forward(x, p, h_0, c_0)
    agree(result.y, run.h[1:])
    gradients = kernel.backward(result.saved, dh, (dh_last, dc_last))
    found = by_hand.lstm_backward(run, dh, dh_last, dc_last)
    agree(gradients.x, found.dx)
    agree(gradients.states[0], found.initial["h_0"])
    agree(gradients.states[1], found.initial["c_0"])
    for name, gradient in zip(names, gradients.parameters, strict=True):
        agree(gradient, found.parameters[name])


def test_gradients_of_each_step_sum_to_the_gradients() -> None:
    x, p, h_0, c_0 = case()
    found = by_hand.lstm_backward(by_hand.lstm_forward(x, p, h_0, c_0), *adjoints())
    for name, steps in found.of_each_step().items():
        agree(steps.sum(0), found.parameters[name])


def test_wrong_input_is_one_line() -> None:
    x, p, h_0, _ = case()
    with pytest.raises(ShapeError, match="h_0 has another shape"):
        by_hand.lstm_forward(x, p, h_0[:1])
    with pytest.raises(DataError, match="W_x"):
        by_hand.lstm_forward(x, {**p, "W_x": p["W_i"]})
