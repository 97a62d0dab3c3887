"""The torch side: any cell as a module, and torch.nn's own RNNs on recell's kernels."""

from __future__ import annotations

from recell.nn import convert, init, losses, operators, readout
from recell.nn.accelerate import accelerate
from recell.nn.drop_in import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from recell.nn.recurrent import Recurrent
from recell.nn.stack import Stack
from recell.nn.step import Step

__all__ = [
    "GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent", "Stack", "Step", "accelerate", "convert", "init",
    "losses", "operators", "readout",
]
