"""sLSTM of xLSTM (Beck et al. 2024): exponential input gate, normaliser n, and a running maximum m that keeps exp in range.

The paper's forget gate is a sigmoid or exp: `SLSTM(forget="exp")`. m starts so low that the first step takes m = i and n = 1,
as in the authors' code; from there on n >= 1, and the bound in c / n only guards states given from outside. One head.
"""

from recell.language.cell import cell
from recell.language.functions import exp, maximum, sigmoid, softplus, tanh


@cell(initial={"m": -1e4})
def SLSTM(p, x, h, c, n, m, *, forget="sigmoid"):
    i = p.W_i @ x + p.R_i @ h + p.b_i
    f = p.W_f @ x + p.R_f @ h + p.b_f
    z = tanh(p.W_z @ x + p.R_z @ h + p.b_z)
    o = sigmoid(p.W_o @ x + p.R_o @ h + p.b_o)
    kept = m + (f if forget == "exp" else -softplus(-f))
    m = maximum(kept, i)
    c = exp(kept - m) * c + exp(i - m) * z
    n = exp(kept - m) * n + exp(i - m)
    h = o * (c / maximum(n, 1))
    return h, c, n, m
