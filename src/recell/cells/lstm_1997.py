"""LSTM as first published (Hochreiter & Schmidhuber 1997): no forget gate, the memory only adds.

Memory blocks of one cell; the gates read inputs and cells' outputs, not one another. g squashes to [-2, 2], the paper's h to
[-1, 1]. The paper cuts its gradient off where it leaves a memory cell; here it is whole. Some of its experiments start the
output gates closed: `Recurrent(...).initialize(b_o=-1.0)`.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid


@cell
def LSTM1997(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    g = 4 * sigmoid(p.W_g @ x + p.U_g @ h + p.b_g) - 2
    c = c + i * g
    h = o * (2 * sigmoid(c) - 1)
    return h, c
