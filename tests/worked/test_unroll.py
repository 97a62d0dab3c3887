from __future__ import annotations

import math

from recell import worked
from tests.by_hand.setting import agree


def test_the_written_formula_is_the_number_beside_it() -> None:
    example = worked.unroll((1.3, -0.4, 0.7, -2.0), {"W": -0.3, "U": 1.2, "b": 0.25})
    known = {name: float(value) for name, value in example.more[1].rows}
    for row, (_, written) in zip(example.rows, example.more[0].rows, strict=True):
        _, formula, in_numbers, h = row
        agree(eval(in_numbers, {"tanh": math.tanh}), h, 1e-3)  # noqa: S307 - our own table; h of the step before is rounded
        agree(eval(written.partition(" = ")[2], {"tanh": math.tanh, **known}), h)  # noqa: S307
        assert formula.startswith(f"h{row[0]} = tanh(")


def test_the_last_step_is_four_layers_of_the_same_weights() -> None:
    last = worked.unroll().more[0].column("written out")[-1]
    assert last.count("tanh") == last.count("W * x") == last.count("U") == 4 and "h0" in last and "h3" not in last
