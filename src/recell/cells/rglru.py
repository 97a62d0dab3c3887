"""RG-LRU of Griffin (De et al. 2024): a real diagonal recurrence whose decay a^(c r) is gated by the input; as wide as x.

a = sigmoid(Lambda), with a^c uniform between 0.9 and 0.999 at the start. W_a and W_x are full, in the authors' code in blocks.
The root of 1 - a^2 has an infinite slope at 0: the authors' code computes it as it is and clips its slope at 1000; here it is
exact down to 2.5e-7 and a line from there to 0, its slope at most 2000. A shut gate holds the state exactly in both.
"""

from functools import partial

import numpy as np

from recell.language.cell import cell
from recell.language.functions import exp, maximum, sigmoid, softplus, sqrt

LEAST = 2.5e-7  # of 1 - a^2: below it the root is a line through 0


def slow(shape, generator, c):
    """Lambda with sigmoid(Lambda)^c uniform between 0.9 and 0.999 (section 2.4 of the paper)."""
    a = generator.uniform(0.9, 0.999, shape) ** (1 / c)
    return np.log(a / (1 - a))


@cell
def RGLRU(p, x, h, *, c=8.0):
    r = sigmoid(p.W_a @ x + p.b_a)
    i = sigmoid(p.W_x @ x + p.b_x)
    a = exp(-c * softplus(-p.vector("Lambda", init=partial(slow, c=c))) * r)
    rest = 1 - a * a
    h = a * h + rest / sqrt(maximum(rest, LEAST)) * (i * x)
    return h
