"""Gated recurrent unit, the reset gate after the product (torch.nn.GRU's; cuDNN's variant of Cho et al. 2014)."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def GRU(p, x, h, *, gate_activation=sigmoid, activation=tanh):
    r = gate_activation(p.W_r @ x + p.U_r @ h + p.b_r)
    z = gate_activation(p.W_z @ x + p.U_z @ h + p.b_z)
    n = activation(p.W_n @ x + p.b_n + r * (p.U_n @ h + p.c_n))
    h = (1 - z) * n + z * h
    return h
