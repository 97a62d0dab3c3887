"""Minimal LSTM (Feng et al. 2024, "Were RNNs all we needed?"): the gates see x alone and add up to one, f / (f + i); a scan.

The form independent of length, as in the paper's main text; where both gates are shut it is as finite as the paper's log-space
form: pre-activations of which both lie below -40 are raised until the larger is -40, and as the sigmoid is exp there, their
ratio stays. The log-space form passes the candidate through g, which keeps the state positive: `MinLSTM(positive=True)`.
"""

from recell.cells.min_gru import g
from recell.language.cell import cell
from recell.language.functions import maximum, relu, sigmoid

SHUT = -40.0  # sigmoid(v) is exp(v) from here down, in float64 too


@cell
def MinLSTM(p, x, h, *, positive=False):
    a_f = p.W_f @ x + p.b_f
    a_i = p.W_i @ x + p.b_i
    n = p.W_h @ x + p.b_h
    if positive:
        n = g(n)
    raised = relu(SHUT - maximum(a_f, a_i))
    f = sigmoid(a_f + raised)
    i = sigmoid(a_i + raised)
    share = f / (f + i)
    h = share * h + (1 - share) * n
    return h
