"""What is the cpu backend's own: where its results lie, what nothing writes, and that backward may be called again."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import recell.nn as rnn
from recell import cell, cells, tanh
from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.library import load
from recell.compiler.build import Call, build


@cell
def Deaf(p, x, h):
    """Never reads x."""
    return tanh(p.U @ h + p.b)


def call_of(definition, sizes, steps, rows, dtype="float64"):
    draw = np.random.default_rng(1).standard_normal
    parameters = tuple(draw(p.shape).astype(dtype) * 0.4 for p in definition.parameters(sizes))
    states = tuple(draw((rows, size)).astype(dtype) for size in definition.state_sizes(sizes))
    return Call(draw((steps, rows, sizes["input"])).astype(dtype), states, parameters)


def test_the_gradient_of_an_input_that_is_never_read_is_zero():
    for _ in range(3):
        module, x = rnn.Recurrent(Deaf, 3, 7), torch.randn(5, 4, 3, requires_grad=True)
        torch.empty(60).fill_(5e17)  # what an unwritten gradient would show
        y, _ = module(x)
        y.sum().backward()
        assert torch.equal(x.grad, torch.zeros_like(x))


def test_backward_again_gives_the_same_bits():
    sizes = cells.LSTM.resolve(3, 19)
    kernel = build(cells.LSTM, sizes, backend="cpu", dtype="float64")
    result = kernel.forward(call_of(cells.LSTM, sizes, 5, 7), save=True)
    dy, dstates = np.ones_like(result.y), tuple(np.ones_like(s) for s in result.states)
    first, second = (kernel.backward(result.saved, dy, dstates) for _ in range(2))
    for a, b in zip((first.x, *first.states, *first.parameters), (second.x, *second.states, *second.parameters), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("like", [np.empty(1, np.float32), torch.empty(1)], ids=["numpy", "torch"])
def test_a_large_array_gives_its_block_back(like):
    library, shape = load(), (3, 1 << 18)
    arrays.empty(like, shape, zero=True)
    gc.collect()
    held = library.rc_pool_bytes()
    for _ in range(8):
        array = arrays.empty(like, shape, zero=True)
        assert array.shape == shape and float(abs(array).max()) == 0
        array[...] = 1
        del array
    assert library.rc_pool_bytes() == held


def test_a_large_output_may_be_written_to_and_outlives_its_module():
    module, x = rnn.GRU(16, 256), torch.randn(30, 40, 16)
    with torch.no_grad():
        y, _ = module(x)
        expected = y.clone()
        del module
        gc.collect()
        rnn.GRU(16, 256)(torch.randn(30, 40, 16))  # another result must not lie on the same block
        assert torch.equal(y, expected)
        y.mul_(2)
        assert torch.equal(y, 2 * expected)


def test_an_output_changed_in_place_is_noticed_by_backward():
    module, x = rnn.LSTM(16, 256), torch.randn(30, 40, 16, requires_grad=True)
    y, _ = module(x)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
