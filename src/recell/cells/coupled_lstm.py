"""LSTM whose input and forget gate are one, f = 1 - i (Greff et al. 2015: CIFG), without the peepholes of their study."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def CoupledLSTM(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = (1 - i) * c + i * g
    h = o * tanh(c)
    return h, c
