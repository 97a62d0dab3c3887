"""Both forms of the GRU by hand against central differences, torch and the compiler."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import by_hand
from recell.cells import get
from recell.compiler.build import Call, build
from recell.errors import DataError
from tests.by_hand.setting import agree, random

STEPS, ROWS, INPUT, HIDDEN = 6, 3, 4, 5
FORMS = {"after": "GRU", "before": "GRUResetBefore"}


def case(reset: str) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    rng = random(0)
    p = {name: 0.6 * rng.normal(size=shape) for name, shape in by_hand.gru_shapes(INPUT, HIDDEN, reset=reset).items()}
    draw = lambda *shape: rng.normal(size=shape)  # noqa: E731
    return draw(STEPS, ROWS, INPUT), p, draw(ROWS, HIDDEN), draw(STEPS, ROWS, HIDDEN), draw(ROWS, HIDDEN)


@pytest.mark.parametrize("reset", FORMS)
def test_the_derivation_is_the_gradient(reset: str) -> None:
    x, p, h_0, dh, dh_last = case(reset)

    def loss() -> float:
        run = by_hand.gru_forward(x, p, h_0, reset=reset)
        return float((run.h[1:] * dh).sum() + (run.h[-1] * dh_last).sum())

    found = by_hand.gru_backward(by_hand.gru_forward(x, p, h_0, reset=reset), dh, dh_last)
    by_hand.gradient_check(loss, {**p, "x": x, "h_0": h_0}, {**found.parameters, "x": found.dx, **found.initial})


def test_torch_gives_the_same() -> None:
    x, p, h_0, dh, dh_last = case("after")
    module = torch.nn.GRU(INPUT, HIDDEN).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(np.concatenate([p[f"W_{k}"] for k in "rzn"])))
        module.weight_hh_l0.copy_(torch.from_numpy(np.concatenate([p[f"U_{k}"] for k in "rzn"])))
        module.bias_ih_l0.copy_(torch.from_numpy(np.concatenate([p[f"b_{k}"] for k in "rzn"])))
        module.bias_hh_l0.copy_(torch.from_numpy(np.concatenate([np.zeros(2 * HIDDEN), p["c_n"]])))
    leaf = torch.from_numpy(x).requires_grad_()
    y, h = module(leaf, torch.from_numpy(h_0)[None])
    run = by_hand.gru_forward(x, p, h_0)
    agree(run.h[1:], y.detach().numpy())
    ((y * torch.from_numpy(dh)).sum() + (h * torch.from_numpy(dh_last)).sum()).backward()
    found = by_hand.gru_backward(run, dh, dh_last)
    agree(found.dx, leaf.grad.numpy())
    agree(np.concatenate([found.parameters[f"U_{k}"] for k in "rzn"]), module.weight_hh_l0.grad.numpy())


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("reset", FORMS)
def test_the_compiler_gives_the_same(reset: str, backend: str) -> None:
    x, p, h_0, dh, dh_last = case(reset)
    cell = get(FORMS[reset])
    sizes = cell.resolve(INPUT, HIDDEN)
    names = [parameter.name for parameter in cell.parameters(sizes)]
    kernel = build(cell, sizes, backend=backend, dtype="float64")
    result = kernel.forward(Call(x, (h_0,), tuple(p[name] for name in names)), save=True)
    run = by_hand.gru_forward(x, p, h_0, reset=reset)
    agree(result.y, run.h[1:])
    gradients = kernel.backward(result.saved, dh, (dh_last,))
    found = by_hand.gru_backward(run, dh, dh_last)
    agree(gradients.x, found.dx)
    agree(gradients.states[0], found.initial["h_0"])
    for name, gradient in zip(names, gradients.parameters, strict=True):
        agree(gradient, found.parameters[name])


@pytest.mark.parametrize("reset", FORMS)
def test_gradients_of_each_step_sum_to_the_gradients(reset: str) -> None:
    x, p, h_0, dh, dh_last = case(reset)
    found = by_hand.gru_backward(by_hand.gru_forward(x, p, h_0, reset=reset), dh, dh_last)
    for name, steps in found.of_each_step().items():
        agree(steps.sum(0), found.parameters[name])


def test_an_unknown_form_is_one_line() -> None:
    x, p, *_ = case("after")
    with pytest.raises(DataError, match="before"):
        by_hand.gru_forward(x, p, reset="befor")
