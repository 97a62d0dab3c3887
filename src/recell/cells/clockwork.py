"""Clockwork RNN (Koutnik et al. 2014): modules that tick at periods of their own; the slow are read by the fast alone.

Module i computes where t is a multiple of its period and stands still elsewhere; it reads itself and the slower modules.
`hidden` is divisible by their number. The paper's periods are powers of 2, as many as the task is long.
"""

from recell.language.cell import cell
from recell.language.functions import concat, split, tanh, where


@cell
def Clockwork(p, x, h, t, *, periods=(1, 2, 4, 8)):
    old = split(h, len(periods))
    new = []
    for i, period in enumerate(periods):
        read = (p[f"U_{i}_{j}"] @ old[j] for j in range(i, len(periods)))
        new.append(where(t % period == 0, tanh(sum(read, p[f"W_{i}"] @ x + p[f"b_{i}"])), old[i]))
    return concat(*new)
