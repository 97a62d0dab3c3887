"""Update gate RNN (Collins, Sohl-Dickstein & Sussillo 2017): one gate between keeping the state and an Elman step.

The paper tunes the number that it adds to the gate's bias; here that bias starts at 1, as in TensorFlow's UGRNNCell.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def UGRNN(p, x, h, *, activation=tanh):
    c = activation(p.W_c @ x + p.U_c @ h + p.b_c)
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.vector("b_g", init=1.0))
    h = g * h + (1 - g) * c
    return h
