"""`recompute=k`: the same gradients from the states of every k-th step, in the memory of k steps."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import recell.nn as rnn
from recell.compiler.backends.cpu import library
from recell.errors import DataError, RecellError

D = torch.float64


def pair(**options):
    torch.manual_seed(5)
    whole = rnn.Recurrent("LSTM", 5, 7, 2, dtype=D, **options)
    parts = rnn.Recurrent("LSTM", 5, 7, 2, dtype=D, recompute=4, **options)
    parts.load_state_dict(whole.state_dict())
    return whole, parts


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"reverse": True}, {"learn_initial_state": True}])
def test_gradients_are_the_same(options, agree, gradients):
    whole, parts = pair(**options)
    x = torch.randn(11, 3, 5, dtype=D, requires_grad=True)
    reset = torch.rand(11, 3) < 0.2
    calls = [{}, {"lengths": torch.tensor([4, 11, 7])}, {"mask": ~reset}]
    for more in calls if options.get("learn_initial_state") else [*calls, {"reset": reset, "mask": ~reset}]:
        found = [(m(x, **more), gradients(m(x, **more), [x, *m.parameters()])) for m in (parts, whole)]
        agree(*found)


def test_other_ways_to_the_same_module(agree, gradients):
    whole, parts = pair()
    x = torch.randn(9, 3, 5, dtype=D, requires_grad=True)
    expected = gradients(whole(x), [x, *whole.parameters()])
    compiled = torch.compile(copy.deepcopy(parts), fullgraph=True, backend="aot_eager")
    for module in (copy.deepcopy(parts), pickle.loads(pickle.dumps(parts)), compiled):  # noqa: S301 (our own bytes)
        agree(gradients(module(x), [x, *module.parameters()]), expected)
    torch.manual_seed(5)
    lstm, again = rnn.LSTM(5, 7, dtype=D), rnn.LSTM(5, 7, dtype=D, recompute=2)
    again.load_state_dict(lstm.state_dict())
    agree(*(gradients(m(x), [x, *m.parameters()]) for m in (again, lstm)))


def test_the_stash_is_that_of_a_segment():
    """What waits for the backward pass: all stashes without `recompute`, none with it."""
    held = []
    for recompute in (None, 50):
        module = rnn.Recurrent("LSTM", 8, 64, recompute=recompute)
        library.load().rc_pool_trim()
        before = library.load().rc_pool_bytes()
        y, _ = module(torch.randn(2000, 4, 8))
        library.load().rc_pool_trim()
        held.append(library.load().rc_pool_bytes() - before - y.nbytes)
        y.sum().backward()
    assert held[0] > 2000 * 4 * 64 * 4 * 4 > 4 * held[1], held


@pytest.mark.parametrize("wrong", [0, -3, 2.0, True, "4"])
def test_a_wrong_number_is_one_line(wrong):
    with pytest.raises(DataError, match="recompute is a number of steps"):
        rnn.Recurrent("LSTM", 3, 4, recompute=wrong)


def test_torchs_operators_do_not_pretend():
    with pytest.raises(DataError, match="eager backend keeps what autograd keeps"):
        rnn.Recurrent("LSTM", 3, 4, recompute=2, backend="eager")
    half = rnn.Recurrent("LSTM", 3, 4, recompute=2, dtype=torch.float16)
    with pytest.raises(RecellError, match="torch.utils.checkpoint"):
        half(torch.randn(5, 2, 3, dtype=torch.float16))
