"""The vanilla network: its three forms of back-propagation through time, each against what defines it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import recell
from recell import by_hand, cells
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random
from tests.contract.descriptions import BACKENDS
from tests.contract.harness import Case, everything

STEPS, ROWS, INPUT, HIDDEN, OUTPUT = 6, 3, 4, 5, 7


def parameters(seed: int = 0) -> dict[str, np.ndarray]:
    rng = random(seed)
    shapes = {"U": (HIDDEN, INPUT), "W": (HIDDEN, HIDDEN), "V": (OUTPUT, HIDDEN), "b_a": (HIDDEN,), "b_y": (OUTPUT,)}
    return {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}


def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = random(1)
    return rng.normal(size=(STEPS, ROWS, INPUT)), rng.normal(size=(ROWS, HIDDEN))


def targets_of(output: str) -> np.ndarray:
    rng = random(2)
    if output == "softmax":
        return rng.integers(0, OUTPUT, (STEPS, ROWS))
    return rng.uniform(0, 1, (STEPS, ROWS, OUTPUT))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid", "linear"])
def test_full_bptt_is_the_gradient_of_the_loss(activation: str, output: str) -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of(output)
    weights = random(3).normal(size=(ROWS, HIDDEN))

    def run() -> by_hand.RNNRun:
        return by_hand.rnn_forward(x, p, s_0, activation=activation, output=output)

    def loss() -> float:
        found = run()
        return found.loss(targets) + float((found.s[-1] * weights).sum())

    gradients = by_hand.rnn_backward(run(), run().loss_gradient(targets), weights)
    by_hand.gradient_check(loss, {**p, "x": x, "s_0": s_0}, {**gradients.parameters, "x": gradients.dx, **gradients.initial})


def adjoints() -> tuple[np.ndarray, np.ndarray]:
    """Of the scores of every step, and of the last state."""
    rng = random(5)
    return rng.normal(size=(STEPS, ROWS, OUTPUT)), rng.normal(size=(ROWS, HIDDEN))


def worked(activation: str) -> tuple[by_hand.RNNRun, by_hand.Gradients]:
    x, s_0 = inputs()
    run = by_hand.rnn_forward(x, parameters(), s_0, activation=activation, output="linear")
    return run, by_hand.rnn_backward(run, *adjoints())


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_torch_gives_the_same(activation: str) -> None:
    p, (x, s_0), (do, ds_last) = parameters(), inputs(), adjoints()
    module = torch.nn.RNN(INPUT, HIDDEN, nonlinearity=activation).double()
    with torch.no_grad():
        for name, key in (("weight_ih_l0", "U"), ("weight_hh_l0", "W"), ("bias_ih_l0", "b_a")):
            getattr(module, name).copy_(torch.from_numpy(p[key]))
        module.bias_hh_l0.zero_()
    leaves = {name: torch.from_numpy(value).requires_grad_() for name, value in {"x": x, "s_0": s_0, **p}.items()}
    y, s = module(leaves["x"], leaves["s_0"][None])
    o = y @ leaves["V"].T + leaves["b_y"]
    ((o * torch.from_numpy(do)).sum() + (s * torch.from_numpy(ds_last)).sum()).backward()
    run, found = worked(activation)
    agree(run.s[1:], y.detach().numpy())
    agree(run.o, o.detach().numpy())
    named = {"U": module.weight_ih_l0, "W": module.weight_hh_l0, "b_a": module.bias_ih_l0, "V": leaves["V"], "b_y": leaves["b_y"]}
    assert named.keys() == found.parameters.keys()
    for name, leaf in named.items():
        agree(found.parameters[name], leaf.grad.numpy())
    agree(found.parameters["b_a"], module.bias_hh_l0.grad.numpy())
    agree(found.dx, leaves["x"].grad.numpy())
    agree(found.initial["s_0"], leaves["s_0"].grad.numpy())


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_compiler_gives_the_same(backend: str, activation: str) -> None:
    """recell's Elman calls the input's matrix W and the state's U; the output layer is not in it: dL/ds = V^T do."""
    p, (x, s_0), (do, ds_last) = parameters(), inputs(), adjoints()
    elman = cells.Elman(activation=getattr(recell, activation))
    own = {"W": "U", "U": "W", "b": "b_a"}
    case = Case(elman, elman.resolve(INPUT, HIDDEN), x, (s_0,), tuple(p[own[info.name]] for info in elman.graph.parameters),
                do @ p["V"], (ds_last,))  # fmt: skip
    came = everything(case, backend)
    run, found = worked(activation)
    agree(came["y"], run.s[1:])
    agree(came["last h"], run.s[-1])
    agree(came["dx"], found.dx)
    agree(came["d initial h"], found.initial["s_0"])
    for name, key in own.items():
        agree(came[f"d {name}"], found.parameters[key])


@pytest.mark.parametrize("reach", [0, 1, 3])
def test_truncated_bptt_cuts_the_graph_behind_the_reach(reach: int) -> None:
    """Against torch: the loss of step t is differentiated on a network whose state is detached before t - reach."""
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    found = by_hand.rnn_backward(run, run.loss_gradient(targets), bptt_truncate=reach).parameters
    leaves = {name: torch.from_numpy(value).requires_grad_() for name, value in p.items()}
    total = torch.zeros(())
    for t in range(STEPS):
        s = torch.from_numpy(run.s[max(0, t - reach)])
        for k in range(max(0, t - reach), t + 1):
            s = torch.tanh(torch.from_numpy(x[k]) @ leaves["U"].T + s @ leaves["W"].T + leaves["b_a"])
        scores = s @ leaves["V"].T + leaves["b_y"]
        total = total + torch.nn.functional.cross_entropy(scores, torch.from_numpy(targets[t]), reduction="sum")
    total.backward()
    for name, leaf in leaves.items():
        agree(found[name], leaf.grad.numpy())


@pytest.mark.parametrize("length", [1, 2, 4])
def test_chunked_bptt_is_the_sum_over_chunks_with_the_state_handed_on(length: int) -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    found = by_hand.rnn_backward(run, run.loss_gradient(targets), chunk_length=length).parameters
    expected = {name: np.zeros_like(value) for name, value in p.items()}
    state = s_0
    for start in range(0, STEPS, length):
        part = by_hand.rnn_forward(x[start : start + length], p, state)
        gradients = by_hand.rnn_backward(part, part.loss_gradient(targets[start : start + length]))
        for name, gradient in gradients.parameters.items():
            expected[name] += gradient
        state = part.s[-1]
    for name in p:
        agree(found[name], expected[name])


def test_the_three_forms_are_one_where_nothing_is_cut() -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    do, last = run.loss_gradient(targets), random(4).normal(size=s_0.shape)
    full = by_hand.full_bptt(run, do, last)
    truncated = by_hand.truncated_bptt(run, do, last, bptt_truncate=STEPS)
    for other in (truncated, by_hand.chunked_bptt(run, do, last, chunk_length=STEPS)):
        agree(other.dx, full.dx)
        agree(other.initial["s_0"], full.initial["s_0"])
        for name, gradient in full.parameters.items():
            agree(other.parameters[name], gradient)


def test_truncation_changes_the_gradient() -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    full, cut = (by_hand.rnn_backward(run, run.loss_gradient(targets), bptt_truncate=k).parameters["W"] for k in (None, 1))
    assert np.abs(full - cut).max() > 1e-3


def test_gradients_of_each_step_sum_to_the_gradients() -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    gradients = by_hand.rnn_backward(run, run.loss_gradient(targets))
    for name, steps in gradients.of_each_step().items():
        assert steps.shape == (STEPS, *p[name].shape)
        agree(steps.sum(0), gradients.parameters[name])


def test_an_error_of_one_output_reaches_no_later_step() -> None:
    p, (x, s_0), targets = parameters(), inputs(), targets_of("softmax")
    run = by_hand.rnn_forward(x, p, s_0)
    do = run.loss_gradient(targets)
    do[:2], do[3:] = 0, 0
    steps = by_hand.rnn_backward(run, do).of_each_step()["W"]
    assert (np.abs(steps[:3]).max((1, 2)) > 0).all()
    assert not steps[3:].any()


def test_the_state_starts_at_zero() -> None:
    p, (x, _) = parameters(), inputs()
    agree(by_hand.rnn_forward(x, p).s, by_hand.rnn_forward(x, p, np.zeros((ROWS, HIDDEN))).s)


def backward(x: np.ndarray, do: np.ndarray | None = None, **how: int) -> by_hand.Gradients:
    run = by_hand.rnn_forward(x, parameters())
    return by_hand.rnn_backward(run, np.zeros_like(run.o) if do is None else do, **how)


@pytest.mark.parametrize("wrong, error, told", [
    (lambda p, x: by_hand.rnn_forward(x, {**p, "W": p["W"][:, :2]}), ShapeError, "W has another shape"),
    (lambda p, x: by_hand.rnn_forward(x, {k: v for k, v in p.items() if k != "b_a"}), DataError, "b_a is missing"),
    (lambda p, x: by_hand.rnn_forward(x, p, activation="tahn"), DataError, "tanh"),
    (lambda p, x: backward(x, np.zeros((1, 1, 1))), ShapeError, "do has another shape"),
    (lambda p, x: backward(x, bptt_truncate=-1), DataError, "-1"),
    (lambda p, x: backward(x, bptt_truncate=1, chunk_length=1), DataError, "two things"),
])  # fmt: skip
def test_wrong_input_is_one_line(wrong: Callable[..., object], error: type[Exception], told: str) -> None:
    x, _ = inputs()
    with pytest.raises(error, match=told) as caught:
        wrong(parameters(), x)
    assert "\n" not in str(caught.value)
