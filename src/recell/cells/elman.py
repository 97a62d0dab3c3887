"""Elman, "Finding structure in time" (1990): the simple recurrent network, torch.nn.RNN's cell."""

from recell.language.cell import cell
from recell.language.functions import tanh


@cell
def Elman(p, x, h, *, activation=tanh):
    h = activation(p.W @ x + p.U @ h + p.b)
    return h
