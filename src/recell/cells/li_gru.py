"""Light GRU (Ravanelli et al. 2018): no reset gate, a relu candidate; without the paper's batch normalisation.

Batch normalisation of the input's products looks over rows and steps, which no cell's equations can: a cell computes one row
at a time. `LiGRU.with_(layer_norm())` keeps the relu in bounds instead. Recurrent matrices start orthogonal, as in the paper.
"""

from recell.language.cell import cell
from recell.language.functions import relu, sigmoid


@cell
def LiGRU(p, x, h):
    z = sigmoid(p.matrix("W_z", init="glorot") @ x + p.matrix("U_z", init="orthogonal") @ h + p.vector("b_z", init=0.0))
    n = relu(p.matrix("W_n", init="glorot") @ x + p.matrix("U_n", init="orthogonal") @ h + p.vector("b_n", init=0.0))
    h = z * h + (1 - z) * n
    return h
