"""Weights to torch.nn and back are copies that compute the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import recell.nn as rnn
from recell import relu
from recell.cells import LSTM, Elman
from recell.errors import CellError
from recell.nn.convert import from_torch, to_torch

D = torch.float64
MODULES = [
    nn.LSTM(5, 7, 2, bidirectional=True, dtype=D),
    nn.LSTM(5, 7, proj_size=3, bias=False, dtype=D),
    nn.GRU(5, 7, 2, batch_first=True, dtype=D),
    nn.RNN(5, 7, nonlinearity="relu", dtype=D),
    nn.LSTMCell(5, 7, dtype=D),
    nn.GRUCell(5, 7, bias=False, dtype=D),
    nn.RNNCell(5, 7, nonlinearity="relu"),
]


@pytest.mark.parametrize("theirs", MODULES, ids=lambda m: type(m).__name__)
def test_there_and_back(theirs, agree):
    theirs.eval()
    next(theirs.parameters()).requires_grad_(False)
    ours = from_torch(theirs)
    back = to_torch(ours)
    assert type(back) is type(theirs) and not ours.training and not next(back.parameters()).requires_grad
    x = torch.randn(4, 5, dtype=next(theirs.parameters()).dtype)
    agree(ours(x), theirs(x))
    agree(back(x), theirs(x))
    with torch.no_grad():
        next(ours.parameters()).zero_()
    agree(back(x), theirs(x))


@pytest.mark.parametrize("cell, kind", [("LSTM", nn.LSTM), ("GRU", nn.GRU), ("Elman", nn.RNN), (Elman(activation=relu), nn.RNN)])
def test_a_recurrent_of_torchs_cells_becomes_torchs_module(cell, kind, agree):
    module = rnn.Recurrent(cell, 5, 7, 2, bidirectional=True, dtype=D)
    theirs = to_torch(module)
    x = torch.randn(6, 3, 5, dtype=D)
    y, state = module(x)
    expected, final = theirs(x)
    assert type(theirs) is kind
    agree((y, tuple(state.values())), (expected, final if isinstance(final, tuple) else (final,)))


def test_a_projected_recurrent_becomes_torchs_lstm_with_proj_size(agree):
    module = rnn.Recurrent("ProjectedLSTM", 5, 7, 2, bidirectional=True, sizes={"projection": 3}, dtype=D)
    theirs = to_torch(module)
    x = torch.randn(6, 3, 5, dtype=D)
    y, state = module(x)
    agree((y, tuple(state.values())), theirs(x))


def test_what_has_no_counterpart_is_refused_by_name():
    class Mine(nn.LSTM):
        pass

    for call in (
        lambda: from_torch(Mine(5, 7)),
        lambda: from_torch(nn.Linear(5, 7)),
        lambda: to_torch(nn.Linear(5, 7)),
        lambda: to_torch(rnn.Recurrent("SCRN", 5, 7)),
        lambda: to_torch(rnn.Recurrent(LSTM(output_activation=relu), 5, 7)),
        lambda: to_torch(rnn.Recurrent("GRU", 5, 7, reverse=True)),
    ):
        with pytest.raises(CellError, match="there is no drop-in|torch.nn has no module"):
            call()
