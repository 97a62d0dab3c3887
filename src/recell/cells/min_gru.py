"""Minimal GRU (Feng et al. 2024, "Were RNNs all we needed?"): gate and candidate see x alone, so the recurrence is a scan.

As in the paper's main text. Its log-space form passes the candidate through g, which keeps the state positive:
`MinGRU(positive=True)`.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, where


def g(v):
    """v + 1/2 from 0 on, sigmoid(v) below (appendix B of the paper)."""
    return where(v >= 0, v + 0.5, sigmoid(v))


@cell
def MinGRU(p, x, h, *, positive=False):
    z = sigmoid(p.W_z @ x + p.b_z)
    n = p.W_h @ x + p.b_h
    if positive:
        n = g(n)
    h = (1 - z) * h + z * n
    return h
