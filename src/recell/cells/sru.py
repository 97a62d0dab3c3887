"""Simple recurrent unit (Lei et al. 2018): the state enters by vectors alone, a scan; the highway makes it as wide as x.

As in the paper W starts uniform with variance 1/d, and alpha = sqrt(1 + 2 exp(b_r)) keeps the highway's share of the variance:
sqrt(3), as b_r starts at 0. `SRU(alpha=1.0)` leaves it out, as their library does with rescale=False. That library also halves
the variance of W_f and W_r, and draws v_f and v_r with variance 1/2: not done here.
"""

import math

from recell.language.cell import cell
from recell.language.functions import sigmoid


def variance_of_width(shape, generator):
    """Uniform in +-sqrt(3 / d), d the width of x."""
    bound = math.sqrt(3 / shape[1])
    return generator.uniform(-bound, bound, shape)


@cell(output="h")
def SRU(p, x, c, *, alpha=3**0.5):
    for name in ("W", "W_f", "W_r"):
        p.matrix(name, init=variance_of_width)
    u = p.W @ x
    f = sigmoid(p.W_f @ x + p.v_f * c + p.vector("b_f", init=0.0))
    r = sigmoid(p.W_r @ x + p.v_r * c + p.vector("b_r", init=0.0))
    c = f * c + (1 - f) * u
    h = r * c + (1 - r) * (alpha * x)
    return c
