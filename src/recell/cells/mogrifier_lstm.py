"""Mogrifier LSTM (Melis et al. 2020): before an LSTM step, x and h gate each other in turn, `rounds` times.

Odd rounds gate x by h, even ones h by x; no round is the LSTM. The matrices Q, R are full: the paper's low rank is left out.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def MogrifierLSTM(p, x, h, c, *, rounds=5):
    for k in range(1, rounds + 1):
        if k % 2 == 1:
            x = 2 * sigmoid(p[f"Q_{k}"] @ h) * x
        else:
            h = 2 * sigmoid(p[f"R_{k}"] @ x) * h
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
