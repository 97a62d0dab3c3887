"""What a memory does: the same input gives another output, and the order of the inputs counts.

Two linear neurons with a memory, and two linear outputs; every weight is 1, and the memory starts at 0:

    h_t = W x_t + U h_(t-1)          the memory keeps what came before
    y_t = V h_t

As all weights are 1, each neuron adds up both inputs and both memories: 1 + 1 + 0 + 0 = 2 at the first step, and
1 + 1 + 2 + 2 = 6 at the second, from the very same input. Each output adds up both neurons. In the second half the
same three inputs come in another order: every output is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recell.language.cell import cell
from recell.worked.running import run
from recell.worked.table import Worked, table, worked

INPUTS = ((1.0, 1.0), (1.0, 1.0), (2.0, 2.0))


@cell(sizes={"y": "output"}, output="y")
def Adder(p, x, h):
    h = p.W @ x + p.U @ h
    y = p.V @ h  # the output, by its name
    return h


def memory(inputs: Sequence[Sequence[float]] = INPUTS) -> Worked:
    """The two neurons over `inputs` (T, 2), and over the same inputs the other way round."""
    columns = ("order", "step", "x", "memory before", "memory after", "y")
    rows = [*_rows("as given", inputs), *_rows("backwards", inputs[::-1])]
    return worked(__doc__, table(columns, rows), source="recell's cell language; Elman, Finding structure in time (1990)")


def _rows(order: str, inputs: Sequence[Sequence[float]]) -> Iterator[tuple[Any, ...]]:
    ones = {name: np.ones((2, 2)) for name in ("W", "U", "V")}
    ran = run(Adder, inputs, ones, hidden=2, sizes={"output": 2})
    steps = zip(np.asarray(inputs, float), ran.before("h"), ran.values["h"], ran.y, strict=True)
    for number, values in enumerate(steps, 1):
        yield order, number, *values
