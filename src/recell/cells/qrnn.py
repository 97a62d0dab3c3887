"""Quasi-recurrent network (Bradbury et al. 2017), window 2, fo-pooling: a convolution over x(t) and x(t-1), then a scan."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell(sizes={"v": "input"}, output="h")
def QRNN(p, x, c, v):
    z = tanh(p.W_z @ x + p.V_z @ v + p.b_z)
    f = sigmoid(p.W_f @ x + p.V_f @ v + p.b_f)
    o = sigmoid(p.W_o @ x + p.V_o @ v + p.b_o)
    c = f * c + (1 - f) * z
    h = o * c
    return c, x
