from __future__ import annotations

import numpy as np

from recell import by_hand, worked
from recell.worked.examples.bptt import INPUTS
from tests.by_hand.setting import agree


def test_every_step_agrees_with_differences_and_they_add_up() -> None:
    example = worked.bptt(U=0.9, W=-1.3, V=0.6, target=-0.5)
    assert len(example.rows) == 6
    for derived, measured in (("dL/dW", "difference W"), ("dL/dU", "difference U")):
        agree(example.column(derived), example.column(measured), 1e-9)
        *steps, total = example.column(derived)
        agree(sum(steps), total)
        assert len(set(np.abs(steps))) == 5


def test_the_sum_is_the_gradient_of_the_shared_weight() -> None:
    w = np.array([[0.7]])

    def loss() -> float:
        parameters = {"U": [[0.5]], "W": w, "V": [[1.5]], "b_a": [0.0], "b_y": [0.0]}
        run = by_hand.rnn_forward(np.array(INPUTS)[:, None, None], parameters, output="linear")
        return by_hand.squared_error(run.o[-1], [[1.0]])

    agree(worked.bptt().column("dL/dW")[-1], by_hand.central_differences(loss, w).item(), 1e-9)
