"""One step of any cell against the sequence that it belongs to."""

from __future__ import annotations

import copy

import pytest
import torch

import recell.nn as rnn
from recell import cell, sigmoid, tanh
from recell.errors import CellError, RecellError, ShapeError

D = torch.float64


@cell(initial={"n": 1.0})
def Timed(p, x, h, n, t, dt):
    g = sigmoid(p.W_g @ x + p.U_g @ h)
    n = g * n + dt * tanh(p.W_n @ x)
    h = tanh(n + 0.1 * t * g)
    return h, n


@pytest.mark.parametrize("name", ["LSTM", "GRU", Timed])
def test_steps_make_up_the_sequence(name, agree, gradients):
    step = rnn.Step(name, 5, 7, dtype=D)
    whole = rnn.Recurrent(name, 5, 7, dtype=D)
    whole.load_state_dict({f"{n}_l0": p for n, p in step.state_dict().items()})
    x = torch.randn(6, 3, 5, dtype=D, requires_grad=True)
    elapsed = torch.rand(6, 3, dtype=D) if step.cell.uses_elapsed else None
    state, ys = None, []
    for t in range(6):
        y, state = step(x[t], state, elapsed=None if elapsed is None else elapsed[t])
        ys.append(y)
    expected, final = whole(x, elapsed=elapsed)
    agree((torch.stack(ys), state), (expected, {k: v[0] for k, v in final.items()}))
    agree(gradients(ys[-1], [x, *step.parameters()]), gradients(expected[-1], [x, *whole.parameters()]))
    if step.cell.uses_time:
        assert state["t"].dtype == torch.int64 and (state["t"] == 6).all()


def test_a_row_of_its_own(agree):
    step, x = rnn.Step("LSTM", 5, 7, dtype=D), torch.randn(3, 5, dtype=D)
    y, state = step(x)
    one, own = step(x[1])
    agree((one, own), (y[1], {k: v[1] for k, v in state.items()}))
    agree(step(x[1], own)[0], step(x, state)[0][1])


def test_parameters_copies_and_errors(agree):
    step, x = rnn.Step("LSTM", 5, 7), torch.randn(3, 5)
    assert step.parameter("U_f") is step.U_f
    agree(copy.deepcopy(step)(x), step(x))
    bad = [
        (lambda: step(x, {"h": torch.zeros(2, 7)}), r"state h is \(2, 7\); give a tensor \(3, 7\)"),
        (lambda: step(x, {"q": x}), "no state 'q'"),
        (lambda: step(x[:, :4]), "4 features"),
        (lambda: step(x, elapsed=torch.ones(3)), "no elapsed time"),
        (lambda: step(x, (x, x)), "give a dict"),
    ]
    for call, expected in bad:
        with pytest.raises(ShapeError, match=expected):
            call()
    with pytest.raises(RecellError, match="no parameter"):
        step.parameter("Q")


@pytest.mark.parametrize("name", ["cell", "training", "backend", "forward", "hidden_size"])
def test_a_parameter_named_as_an_attribute_is_refused(name):
    @cell
    def Named(p, x, h):
        return tanh(p.W @ x + p[name] * h)

    with pytest.raises(CellError, match=f"Named: '{name}' cannot be stored as '{name}', which Step is already using"):
        rnn.Step(Named, 5, 7)
    assert rnn.Recurrent(Named, 5, 7).parameter(name).shape == (7,)  # there it bears the layer's number


def test_a_learned_state_named_as_a_parameter_is_refused():
    @cell
    def Named(p, x, h):
        return tanh(p.W @ x + p.initial_h * h)

    with pytest.raises(CellError, match="Named has a parameter 'initial_h', which is a learned initial state's"):
        rnn.Recurrent(Named, 5, 7, learn_initial_state=True)
