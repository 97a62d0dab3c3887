"""What the tests of `Recurrent` and of its bridge share: cells that no list knows, and random states of a module."""

from __future__ import annotations

import torch

import recell.nn as rnn
from recell import cell, dropout, sigmoid, tanh

D = torch.float64
CELLS = ("Elman", "LSTM", "GRU", "PeepholeLSTM", "GRUResetBefore")


@cell(initial={"n": 1.0}, output="o")
def Odd(p, x, h, n, t, dt):
    """A local for an output, an initial value, time and elapsed time, a frozen parameter."""
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.vector("b_g", init=0.5))
    o = tanh(p.W_o @ x + p.matrix("F", rows="hidden", cols="hidden", trainable=False, init="orthogonal") @ h)
    n = g * n + dt * o
    h = tanh(n + 0.1 * t * g)
    return h, n


@cell(sizes={"v": "input"}, output="h")
def Delayed(p, x, c, v):
    """A state as wide as the input: it differs from layer to layer."""
    z = tanh(p.W_z @ x + p.V_z @ v + p.b_z)
    f = sigmoid(p.W_f @ x + p.V_f @ v + p.b_f)
    c = f * c + (1 - f) * z
    h = tanh(p.W_h @ x) * c  # noqa: F841 (the output)
    return c, x


@cell
def Coins(p, x, h):
    h = tanh(p.W @ x + p.U @ dropout(h, 0.5) + p.b)
    return h


def make(name, **options):
    return rnn.Recurrent(name, 5, 7, **{"dtype": D, **options})


def random_state(module, rows):
    state = {}
    for index, info in enumerate(module.cell.states):
        width = max(module._widths[index])
        shape = (len(module._stored_names), rows, width)
        state[info.name] = (
            torch.arange(rows)[None, :, None].expand(shape)
            if info.name == "t"
            else (torch.randn(shape, dtype=D, requires_grad=True))
        )
    return state


def small(name="GRU", **options):
    return rnn.Recurrent(name, 2, 3, **{"dtype": D, **options})
