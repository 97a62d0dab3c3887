"""Echo state network (Jaeger 2001; leaky as in Lukosevicius 2012): a random reservoir that is never trained.

Only what reads it learns: `recell.nn.readout.ridge`, in closed form. `radius`, the largest modulus of U's eigenvalues, and
`input_scale` say how the frozen weights are drawn (all uniform, dense); 1.25, 0.3 and 0.5 are the practical guide's example.
"""

from functools import partial

import numpy as np

from recell.language.cell import cell
from recell.language.functions import tanh


def reservoir(shape, generator, radius):
    u = generator.uniform(-0.5, 0.5, shape)
    return u * (radius / np.abs(np.linalg.eigvals(u)).max())


def uniform(shape, generator, scale):
    return generator.uniform(-scale, scale, shape)


@cell
def EchoState(p, x, h, *, leak=0.3, radius=1.25, input_scale=0.5):
    drawn = partial(uniform, scale=input_scale)
    w = p.matrix("W", trainable=False, init=drawn)
    u = p.matrix("U", trainable=False, init=partial(reservoir, radius=radius))
    b = p.vector("b", trainable=False, init=drawn)
    h = (1 - leak) * h + leak * tanh(w @ x + u @ h + b)
    return h
