"""IndRNN (Li et al. 2018): every unit reads itself alone, so the recurrence is elementwise; relu.

Recurrent weights start uniform in [0, 1], the authors' choice where units are to remember over all ranges; the last layer of a
task that reads the last step alone may start at 1: `initialize(u=1.0)`. The paper holds |u| below 2^(1/T) while it trains:
that is the training's to do.
"""

from recell.language.cell import cell
from recell.language.functions import relu


def uniform(shape, generator):
    return generator.uniform(0, 1, shape)


@cell
def IndRNN(p, x, h, *, activation=relu):
    h = activation(p.W @ x + p.vector("u", init=uniform) * h + p.b)
    return h
