"""Minimal gated unit (Zhou et al. 2016): one gate that forgets and resets, before the product as in Cho's unit."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def MGU(p, x, h):
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    n = tanh(p.W_n @ x + p.U_n @ (f * h) + p.b_n)
    h = (1 - f) * h + f * n
    return h
