"""LSTM whose gates see the memory through diagonal peepholes (Gers & Schmidhuber 2000): i and f the old one, o the new."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def PeepholeLSTM(p, x, h, c, *, gate_activation=sigmoid, activation=tanh, output_activation=tanh):
    i = gate_activation(p.W_i @ x + p.U_i @ h + p.w_i * c + p.b_i)
    f = gate_activation(p.W_f @ x + p.U_f @ h + p.w_f * c + p.b_f)
    g = activation(p.W_g @ x + p.U_g @ h + p.b_g)
    c = f * c + i * g
    o = gate_activation(p.W_o @ x + p.U_o @ h + p.w_o * c + p.b_o)
    h = o * output_activation(c)
    return h, c
