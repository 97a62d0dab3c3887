"""Phased LSTM (Neil et al. 2016): a peephole LSTM whose units open for a part of their own period of time, else stand still.

The state `phase` is elapsed time in periods, less the whole ones: long streams lose no digits. The paper learns period tau and
shift s; here rate = 1 / tau and shift = s / tau. Logarithms of periods start uniform between those of `periods`, in the unit
of the elapsed times (1 to e^3 in the paper's first task), shifts U(0, 1). The leak alpha is on in evaluation too:
`PhasedLSTM(alpha=0.0)` turns it off, as the paper does there. As in the authors' code b_f starts at 2 and o sees the new c.
"""

from functools import partial

import numpy as np

from recell.errors import CellError
from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh, where


def rates(shape, generator, periods):
    return np.exp(-generator.uniform(*np.log(periods), shape))


def part_of_period(shape, generator):
    return generator.uniform(0, 1, shape)


@cell
def PhasedLSTM(p, x, h, c, phase, dt, *, periods=(1.0, 20.0855), r_on=0.05, alpha=0.001):
    if len(periods) != 2 or not 0 < periods[0] <= periods[1]:
        raise CellError(f"periods are the shortest and the longest; came {periods}; write periods=(1.0, 20.0)")
    phase = (phase + dt * p.vector("rate", init=partial(rates, periods=periods))) % 1
    phi = (phase - p.vector("shift", init=part_of_period)) % 1
    k = where(phi < r_on / 2, 2 * phi / r_on, where(phi < r_on, 2 - 2 * phi / r_on, alpha * phi))
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.w_i * c + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.w_f * c + p.vector("b_f", init=2.0))
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    c_new = f * c + i * g
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.w_o * c_new + p.b_o)
    c = k * c_new + (1 - k) * c
    h = k * (o * tanh(c_new)) + (1 - k) * h
    return h, c, phase
