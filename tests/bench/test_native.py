from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

import recell.nn as rnn
from recell.bench.native import computing_nothing, passes
from recell.compiler.backends.cpu import library


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


def test_computing_nothing_enters_no_kernel_and_ends_with_its_block() -> None:
    torch.manual_seed(0)
    layer, x = rnn.LSTM(5, 7), torch.randn(4, 3, 5)
    before = layer(x)[0]
    with computing_nothing(), mock.patch.object(library, "load", side_effect=AssertionError("a kernel was entered")):
        layer(x)[0].sum().backward()
    torch.testing.assert_close(layer(x)[0], before, rtol=0, atol=0)
