from __future__ import annotations

import numpy as np

from recell import worked
from tests.by_hand.setting import agree, random


def test_the_outputs_of_two_linear_neurons() -> None:
    example = worked.memory()
    y = np.array(example.column("y"))
    assert y[:3].tolist() == [[4, 4], [12, 12], [32, 32]]
    assert example.column("x")[:3] == ((1, 1), (1, 1), (2, 2)) and example.column("memory before")[0] == (0, 0)


def test_another_order_is_another_result() -> None:
    y = np.array(worked.memory().column("y"))
    assert (y[:3] != y[3:]).all() and sorted(worked.memory().column("x")[:3]) == sorted(worked.memory().column("x")[3:])


def test_the_law_for_any_inputs() -> None:
    x = random(0).normal(size=(5, 2))
    found = worked.memory(x)
    h = np.zeros(2)
    for t in range(5):
        agree(found.column("memory before")[t], h)
        h = np.full(2, x[t].sum() + h.sum())
        agree(found.column("memory after")[t], h)
        agree(found.column("y")[t], [h.sum()] * 2)
