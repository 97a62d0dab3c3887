"""A recurrent network unrolled: four steps are one feed-forward network of four layers that share their weights.

The cell says how one step follows from the one before:

    h_t = tanh(W x_t + U h_(t-1) + b)

Put in for h_(t-1) what the same line says of it, and again, until only the inputs and h_0 = 0 are left. The formulas
below are made from the cell's own equation, with one unit and the numbers of the table below them put in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from recell.cells.elman import Elman
from recell.worked.running import run
from recell.worked.table import Worked, shown, table, worked

INPUTS = (1.0, 0.0, -1.0, 0.5)
PARAMETERS = {"W": 0.5, "U": 0.8, "b": 0.1}


def unroll(inputs: Sequence[float] = INPUTS, parameters: Mapping[str, float] = PARAMETERS) -> Worked:
    """`Elman` with one unit over `inputs` (T,), written out step by step: in letters, in numbers, and all steps in one."""
    ran = run(Elman, [[x] for x in inputs], parameters)
    known = {name: shown(float(value)) for name, value in parameters.items()}
    known |= {f"x{t}": shown(float(x)) for t, x in enumerate(inputs, 1)}
    known |= {f"h{t}": shown(float(h)) for t, h in enumerate([0.0, *ran.values["h"][:, 0]])}
    rows: list[tuple[Any, ...]] = []
    nested = "h0"
    for t, value in enumerate(ran.values["h"], 1):
        step = _step(t)
        nested = step.replace(f"h{t - 1}", nested)
        rows.append((t, f"h{t} = {step}", _with_numbers(step, known), value, nested))
    formulas = table(("step", "formula", "in numbers", "h"), [row[:4] for row in rows])
    written_out = [(t, f"h{t} = {nested}") for t, *_, nested in rows]
    whole = table(("step", "written out"), written_out, "Each step from the inputs alone:")
    numbers = table(("name", "value"), [(name, known[name]) for name in known if name[0] != "h" or name == "h0"])
    return worked(__doc__, formulas, whole, numbers, source="Werbos, Backpropagation through time: what it does (1990)")


def _step(t: int) -> str:
    """The right side of the cell's equation at step t, the step's number behind each letter."""
    _, _, right = Elman.equations().partition(" = ")
    return right.replace("[t-1]", str(t - 1)).replace("[t]", str(t)).replace("@", "*")


def _with_numbers(formula: str, known: Mapping[str, str]) -> str:
    put_in = re.sub(r"\b\w+\b", lambda found: known.get(found.group(), found.group()), formula)
    return re.sub(r"(?<=[*+] )-[\d.e-]+", lambda found: f"({found.group()})", put_in)
