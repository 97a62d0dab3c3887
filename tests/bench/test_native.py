from __future__ import annotations

import numpy as np
import pytest

from recell.bench.native import passes


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "Elman"])
def test_a_pass_entered_again_writes_the_same(kind: str) -> None:
    found = passes(kind, (5, 3, 7, 6))
    first = found.y.copy()
    found.y[:] = 0
    found.forward()
    np.testing.assert_array_equal(found.y, first)
    assert np.abs(first).max() > 0.1
    found.training()
    found.training()


def test_operations_are_those_of_the_products() -> None:
    assert passes("LSTM", (5, 3, 7, 6)).operations == 2 * 5 * 3 * 4 * 6 * (7 + 6)


def test_training_writes_the_gradients_of_the_whole_kernel() -> None:
    """What backward's entry writes again is what the kernel's own backward returned."""
    found = passes("GRU", (4, 3, 5, 7))
    arrays = [found.gradients.x, *found.gradients.states, *found.gradients.parameters]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array[:] = 0
    found.training()
    for array, expected in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, expected)
