"""An LSTM of one cell by pencil: x2 = 1 writes, x2 = -1 forgets, x3 = 1 reads.

The input x1 is what may be stored; x2 and x3 work the gates. What is stored and what is read are linear here, so that
the numbers stay whole, and no gate sees the output before:

    g_t = x1                          what could be written
    i_t = sigmoid(100 x2 - 10)        input gate: open where x2 = 1
    f_t = sigmoid(100 x2 + 10)        forget gate: keeps, unless x2 = -1
    o_t = sigmoid(100 x3 - 10)        output gate: open where x3 = 1
    c_t = f_t c_(t-1) + i_t g_t       the memory
    h_t = o_t c_t                     the output

sigmoid(10) = 0.99995 and sigmoid(-10) = 0.00005: a gate is open or closed but for rounding.
"""

from __future__ import annotations

from typing import Any

from recell.language.cell import cell
from recell.language.functions import sigmoid
from recell.worked.running import run
from recell.worked.table import Worked, table, worked

INPUTS = ((3, 1, 0), (4, 1, 0), (2, 0, 0), (1, 0, 1), (3, -1, 0))
PARAMETERS = {
    "W_g": ((1, 0, 0),),
    "W_i": ((0, 100, 0),), "b_i": (-10,),
    "W_f": ((0, 100, 0),), "b_f": (10,),
    "W_o": ((0, 0, 100),), "b_o": (-10,),
}  # fmt: skip


@cell(output="h")
def PencilLSTM(p, x, c):
    g = p.W_g @ x
    i = sigmoid(p.W_i @ x + p.b_i)
    f = sigmoid(p.W_f @ x + p.b_f)
    o = sigmoid(p.W_o @ x + p.b_o)
    c = f * c + i * g
    h = o * c  # the output, by its name
    return c


def lstm(inputs: tuple[tuple[float, float, float], ...] = INPUTS) -> Worked:
    """The cell over `inputs` (T, 3), with every gate; the last two columns are memory and output, rounded."""
    ran = run(PencilLSTM, inputs, PARAMETERS)
    columns = ("step", "x1", "x2", "x3", "g", "i", "f", "o", "c", "h", "memory", "output")
    rows: list[tuple[Any, ...]] = []
    for t, x in enumerate(inputs):
        values = [float(ran.values[name][t, 0]) for name in "gifoch"]
        rows.append((t + 1, *x, *values, round(values[4]), round(values[5])))
    return worked(__doc__, table(columns, rows), source="Hochreiter & Schmidhuber (1997); the forget gate: Gers et al. (2000)")
