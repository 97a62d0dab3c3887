"""Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000), torch.nn.LSTM's cell."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def LSTM(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
