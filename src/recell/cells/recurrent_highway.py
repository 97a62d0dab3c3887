"""Recurrent highway network (Zilly et al. 2017): `depth` highway layers a step, the input in the first, carry gate 1 - t.

Transform gates start nearly closed (bias -2, as the paper's Penn Treebank models). Depth 4 is the default of the authors'
code; their best models have 10.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def RecurrentHighway(p, x, s, *, depth=4):
    h = tanh(p.W_h @ x + p.R_h_1 @ s + p.b_h_1)
    t = sigmoid(p.W_t @ x + p.R_t_1 @ s + p.vector("b_t_1", init=-2.0))
    s = h * t + s * (1 - t)
    for k in range(2, depth + 1):
        h = tanh(p[f"R_h_{k}"] @ s + p[f"b_h_{k}"])
        t = sigmoid(p[f"R_t_{k}"] @ s + p.vector(f"b_t_{k}", init=-2.0))
        s = h * t + s * (1 - t)
    return s
