"""Clockwork RNN (Koutnik et al. 2014): modules that tick at periods of their own; the slow are read by the fast alone.

Module i computes where t is a multiple of its period and stands still elsewhere; it reads itself and the slower modules.
`hidden` is divisible by their number. The paper's periods are powers of 2, as many as the task is long; `periods` are whole
numbers from 1 on, each larger than the one before.
"""

from itertools import pairwise

from recell.errors import CellError, message
from recell.language.cell import cell
from recell.language.functions import concat, split, tanh, where


def check(periods):
    """Modules read those behind them, so that only ascending periods let the fast read the slow, and not the other way."""
    whole = isinstance(periods, tuple) and all(type(period) is int and period > 0 for period in periods)
    if not whole or not periods or any(fast >= slow for fast, slow in pairwise(periods)):
        raise CellError(message("the periods of Clockwork are whole numbers from 1 on, each larger than the one before",
                                came=repr(periods), write="periods=(1, 2, 4, 8)"))


@cell
def Clockwork(p, x, h, t, *, periods=(1, 2, 4, 8)):
    check(periods)
    old = split(h, len(periods))
    new = []
    for i, period in enumerate(periods):
        read = (p[f"U_{i}_{j}"] @ old[j] for j in range(i, len(periods)))
        new.append(where(t % period == 0, tanh(sum(read, p[f"W_{i}"] @ x + p[f"b_{i}"])), old[i]))
    return concat(*new)
