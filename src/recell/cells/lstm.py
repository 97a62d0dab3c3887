"""Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000), torch.nn.LSTM's cell."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def LSTM(p, x, h, c, *, gate_activation=sigmoid, activation=tanh, output_activation=tanh):
    i = gate_activation(p.W_i @ x + p.U_i @ h + p.b_i)
    f = gate_activation(p.W_f @ x + p.U_f @ h + p.b_f)
    g = activation(p.W_g @ x + p.U_g @ h + p.b_g)
    o = gate_activation(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = o * output_activation(c)
    return h, c
