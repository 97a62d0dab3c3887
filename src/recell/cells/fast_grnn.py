"""FastGRNN (Kusupati et al. 2018): gate and candidate share one pair of matrices, W and U; two numbers mix them.

`FastGRNN(rank_w=16, rank_u=16)` has W = W_1 W_2 and U = U_1 U_2; the paper tunes both ranks for each data set, and 0 is the
whole matrix, the default of the authors' code. All start as there: matrices, factors too, normal of deviation 0.1. Sparse and
quantised weights are the paper's training, not equations.
"""

from recell.errors import CellError, message
from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


def normal(shape, generator):
    return generator.normal(scale=0.1, size=shape)


def product(p, name, rank, v):
    """The matrix of this name times v, as two factors where it has a rank."""
    if type(rank) is not int or rank < 0:
        raise CellError(message("a rank of FastGRNN is a whole number, 0 for the whole matrix", came=repr(rank),
                                write="rank_w=16"))
    if not rank:
        return p.matrix(name, init=normal) @ v
    return p.matrix(f"{name}_1", init=normal) @ (p.matrix(f"{name}_2", rows=rank, init=normal) @ v)


@cell
def FastGRNN(p, x, h, *, rank_w=0, rank_u=0):
    u = product(p, "W", rank_w, x) + product(p, "U", rank_u, h)
    z = sigmoid(u + p.vector("b_z", init=1.0))
    n = tanh(u + p.vector("b_n", init=1.0))
    h = (sigmoid(p.scalar("zeta", init=1.0)) * (1 - z) + sigmoid(p.scalar("nu", init=-4.0))) * n + z * h
    return h
