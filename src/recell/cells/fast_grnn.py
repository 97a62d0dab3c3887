"""FastGRNN (Kusupati et al. 2018): gate and candidate share one pair of low-rank matrices; two numbers mix them.

W = W_1 W_2 and U = U_1 U_2; the paper tunes both ranks for each data set (16 here), `sizes={"rank_w": 8, "rank_u": 8}` sets
them. Sparse and quantised weights are the paper's training, not equations. zeta, nu and biases start as in the authors' code.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell(defaults={"rank_w": 16, "rank_u": 16})
def FastGRNN(p, x, h):
    p.matrix("W_2", rows="rank_w")
    p.matrix("U_2", rows="rank_u")
    u = p.W_1 @ (p.W_2 @ x) + p.U_1 @ (p.U_2 @ h)
    z = sigmoid(u + p.vector("b_z", init=1.0))
    n = tanh(u + p.vector("b_n", init=1.0))
    h = (sigmoid(p.scalar("zeta", init=1.0)) * (1 - z) + sigmoid(p.scalar("nu", init=-4.0))) * n + z * h
    return h
