"""`accelerate` swaps what it may and leaves everything else as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import recell
import recell.nn as rnn
from recell.nn.convert import DROP_INS


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(5, 7, 2, bidirectional=True, dropout=0.2)
        self.inner = nn.Sequential(nn.Linear(14, 5), nn.Tanh())
        self.decoder = nn.ModuleDict({"gru": nn.GRU(5, 6), "cell": nn.LSTMCell(6, 4), "rnn": nn.RNN(4, 3, nonlinearity="relu")})
        self.again = self.encoder

    def forward(self, x):
        self.encoder.flatten_parameters()
        y = self.decoder["gru"](self.inner(self.again(x)[0]))[0]
        y, _ = zip(*[self.decoder["cell"](row) for row in y], strict=True)
        return self.decoder["rnn"](torch.stack(y))[0]


@pytest.mark.parametrize("training", [True, False])
def test_an_existing_model_goes_on_as_it_was(training, agree):
    model = Model().train(training)
    model.encoder.dropout = 0.0
    parameters, keys = list(model.parameters()), list(model.state_dict())
    x = torch.randn(4, 3, 5)
    expected, stream = model(x), torch.get_rng_state()
    assert recell.accelerate(model) is model
    assert torch.equal(stream, torch.get_rng_state())
    assert type(model.encoder) is rnn.LSTM and model.again is model.encoder
    assert type(model.decoder["cell"]) is rnn.LSTMCell and type(model.decoder["rnn"]) is rnn.RNN
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == keys
    assert all(module.training is training for module in model.modules())
    agree(model(x), expected)
    agree(copy.deepcopy(model)(x), expected)


def test_an_optimizer_made_before_goes_on():
    model = nn.Sequential(nn.GRU(5, 7))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, before = torch.randn(4, 3, 5), model[0].weight_hh_l0.detach().clone()
    recell.accelerate(model)(x)[0].sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight_hh_l0, before)


def test_hooks_and_their_handles_are_kept():
    model, seen = nn.Sequential(nn.LSTM(5, 7)), []
    handle = model[0].register_forward_hook(lambda *_: seen.append("forward"))
    model[0].register_forward_pre_hook(lambda *_: seen.append("before"))
    model[0].register_full_backward_hook(lambda *_: seen.append("backward"))
    model[0].note = "mine"
    recell.accelerate(model)
    x = torch.randn(4, 3, 5, requires_grad=True)
    model(x)[0].sum().backward()
    assert seen == ["before", "forward", "backward"] and model[0].note == "mine"
    handle.remove()
    model(x)
    assert seen[3:] == ["before"]


@pytest.mark.parametrize("kind", DROP_INS)
def test_a_model_that_is_itself_an_rnn_is_replaced(kind, agree):
    module = kind(5, 7)
    swapped = recell.accelerate(module)
    assert type(swapped) is DROP_INS[kind] and type(module) is kind
    x = torch.randn(3, 5)
    agree(swapped(x), module(x))


def test_what_may_compute_anything_else_is_left_alone():
    class Mine(nn.LSTM):
        pass

    normed = nn.utils.parametrizations.weight_norm(nn.LSTM(5, 7), "weight_hh_l0")
    for module in (Mine(5, 7), normed, nn.LSTM(5, 7, dtype=torch.bfloat16), nn.GRU(5, 7, device="meta"), rnn.GRU(5, 7)):
        model = nn.Sequential(module)
        assert recell.accelerate(model)[0] is module
        assert recell.accelerate(module) is module
