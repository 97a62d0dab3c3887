"""The other sides compute what recell computes: a faster side that computes less would be no comparison."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recell.nn as rnn
from recell.bench import jax_sides, onnx_sides
from recell.bench.questions.own_cell import Tied, TorchLoop
from recell.bench.sides import optional, training_operations
from recell.cells import get
from recell.compiler.build import Call, build

STEPS, ROWS, INPUTS, HIDDEN = 5, 3, 4, 6


def recell_output(kind: str, parameters: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    cell = get(kind)
    states = tuple(np.zeros((ROWS, size), np.float32) for size in cell.state_sizes({"input": INPUTS, "hidden": HIDDEN}))
    kernel = build(cell, cell.resolve(INPUTS, HIDDEN, {}), backend="cpu")
    return kernel.forward(Call(x, states, tuple(parameters.values())), save=False).y


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_exported_layer_computes_the_cell(kind: str, engine: str) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip(engine)
    parameters = onnx_sides.parameters_of(kind, INPUTS, HIDDEN)
    model = onnx_sides.recurrent_model(kind, parameters, STEPS, ROWS)
    x = np.random.default_rng(2).standard_normal((STEPS, ROWS, INPUTS)).astype(np.float32)
    feeds = {"x": x, **{name: np.zeros((1, ROWS, HIDDEN), np.float32) for name in onnx_sides.states_of(kind)}}
    if engine == "onnxruntime":
        (y,) = onnx_sides.onnx_runtime(model, 1).run(["y"], feeds)
    else:
        y = onnx_sides.openvino_call(model, 1, feeds)()
    np.testing.assert_allclose(y[:, 0], recell_output(kind, parameters, x), rtol=1e-5, atol=1e-5)


def test_the_loop_in_torch_computes_the_own_cell() -> None:
    loop, ours = TorchLoop(INPUTS, HIDDEN), rnn.Recurrent(Tied, INPUTS, HIDDEN)
    blocks = zip("ifgo", loop.input.weight.chunk(4), loop.recurrent.weight.chunk(4), loop.input.bias.chunk(4), strict=True)
    with torch.no_grad():
        for gate, *values in blocks:
            for letter, value in zip("WUb", values, strict=True):
                ours.parameter(f"{letter}_{gate}", layer=0, reverse=False).copy_(value)
    x = torch.randn(STEPS, ROWS, INPUTS)
    torch.testing.assert_close(loop(x)[0], ours(x)[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("unroll", jax_sides.UNROLLS)
def test_the_scan_in_jax_computes_the_layer_and_its_gradients(kind: str, unroll: int) -> None:
    """Beside torch.nn, by the weights that the side itself has drawn."""
    pytest.importorskip("jax")
    parameters, x, dy = jax_sides.draw(kind, (STEPS, ROWS, INPUTS, HIDDEN))
    y, (gradients, dx) = jax_sides.gradients_of(optional("jax"), kind, ROWS, HIDDEN, unroll)(parameters, x, dy)
    module = getattr(torch.nn, kind)(INPUTS, HIDDEN)
    bias = np.zeros_like(parameters["b"])
    if kind == "GRU":
        bias[2 * HIDDEN :] = parameters["c"]
    stored = {
        "weight_ih_l0": parameters["W"].T,
        "weight_hh_l0": parameters["U"].T,
        "bias_ih_l0": parameters["b"],
        "bias_hh_l0": bias,
    }
    module.load_state_dict({name: torch.tensor(value) for name, value in stored.items()})
    given = torch.tensor(x, requires_grad=True)
    expected = module(given)[0]
    expected.backward(torch.tensor(dy))
    pairs = [
        (y, expected.detach()),
        (dx, given.grad),
        (gradients["W"].T, module.weight_ih_l0.grad),
        (gradients["U"].T, module.weight_hh_l0.grad),
    ]
    for found, right in pairs:
        np.testing.assert_allclose(np.asarray(found), right.numpy(), rtol=2e-4, atol=2e-5)


def test_operations_are_counted_from_the_equations() -> None:
    assert training_operations("GRU", (5, 3, 4, 6)) == 3 * 2 * 5 * 3 * 3 * 6 * (4 + 6)
