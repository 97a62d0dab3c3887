"""LSTM whose input and forget gate are one, f = 1 - i (Greff et al. 2015: CIFG), without the peepholes of their study."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def CoupledLSTM(p, x, h, c, *, gate_activation=sigmoid, activation=tanh, output_activation=tanh):
    i = gate_activation(p.W_i @ x + p.U_i @ h + p.b_i)
    g = activation(p.W_g @ x + p.U_g @ h + p.b_g)
    o = gate_activation(p.W_o @ x + p.U_o @ h + p.b_o)
    c = (1 - i) * c + i * g
    h = o * output_activation(c)
    return h, c
