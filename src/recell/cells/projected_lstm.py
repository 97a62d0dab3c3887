"""LSTM with a recurrent projection (Sak, Senior and Beaufays 2014), torch.nn.LSTM's cell with proj_size.

As in torch without the paper's diagonal peepholes from c to i, f and o, and without the second projection that the paper allows,
which the output layer alone reads.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell(sizes={"h": "projection"})
def ProjectedLSTM(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = p.V @ (o * tanh(c))
    return h, c
