"""Gated recurrent unit as first published, the reset gate before the product (Cho et al. 2014)."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def GRUResetBefore(p, x, h, *, gate_activation=sigmoid, activation=tanh):
    r = gate_activation(p.W_r @ x + p.U_r @ h + p.b_r)
    z = gate_activation(p.W_z @ x + p.U_z @ h + p.b_z)
    n = activation(p.W_n @ x + p.U_n @ (r * h) + p.b_n)
    h = z * h + (1 - z) * n
    return h
