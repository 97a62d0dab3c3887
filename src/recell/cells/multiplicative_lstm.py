"""Multiplicative LSTM (Krause et al. 2016): an input chooses the recurrence, by the product m in the place of h.

The form of the authors' Chainer code, of which they say that it did best: an LSTM's step with m for h, biases on the three gates
and the candidate, none in m (without its weight normalisation; its forget bias starts at 1: `initialize(b_f=1.0)`). Their first
experiments, in MATLAB, have no tanh on the candidate and the output gate inside the last one, h = tanh(o * c + b).
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def MultiplicativeLSTM(p, x, h, c):
    m = (p.W_m @ x) * (p.U_m @ h)
    i = sigmoid(p.W_i @ x + p.U_i @ m + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ m + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ m + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ m + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
