"""Minimal LSTM (Feng et al. 2024, "Were RNNs all we needed?"): the gates see x alone and add up to one, f / (f + i); a scan.

The form independent of length, as in the paper's main text. Its log-space form passes the candidate through g, which keeps
the state positive: `MinLSTM(positive=True)`.
"""

from recell.cells.min_gru import g
from recell.language.cell import cell
from recell.language.functions import sigmoid


@cell
def MinLSTM(p, x, h, *, positive=False):
    f = sigmoid(p.W_f @ x + p.b_f)
    i = sigmoid(p.W_i @ x + p.b_i)
    n = p.W_h @ x + p.b_h
    if positive:
        n = g(n)
    h = f / (f + i) * h + i / (f + i) * n
    return h
