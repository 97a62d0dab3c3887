"""Laws of `Recurrent` over time: what a length, a mask, a reset, a chunk and a form of a batch mean, for any cell."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn
from recell import cell, exp, tanh
from tests.nn.helper import CELLS, D, Delayed, Odd, make, random_state


def leaves(module, x, state):
    return [x, *[s for s in state.values() if s.requires_grad], *module.parameters()]


@pytest.mark.parametrize("name", [*CELLS, Odd, Delayed])
def test_the_kernel_agrees_with_the_reference(name, agree, gradients):
    kernel = make(name, num_layers=2, bidirectional=True)
    reference = make(name, num_layers=2, bidirectional=True, backend="reference")
    reference.load_state_dict(kernel.state_dict())
    x, state = torch.randn(6, 4, 5, dtype=D, requires_grad=True), random_state(kernel, 4)
    options = {"lengths": [2, 6, 0, 5], "mask": torch.rand(6, 4) < 0.8, "reset": torch.rand(6, 4) < 0.2}
    if kernel.cell.uses_elapsed:
        options["elapsed"] = torch.rand(6, 4, dtype=D)
    found, expected = kernel(x, state, **options), reference(x, state, **options)
    agree(found, expected)
    agree(gradients(found, leaves(kernel, x, state)), gradients(expected, leaves(reference, x, state)))


@pytest.mark.parametrize("name", ["LSTM", "GRU", Odd])
def test_rows_of_any_length_are_runs_of_their_own(name, agree, gradients):
    module = make(name, num_layers=2, bidirectional=True)
    x, state = torch.randn(6, 5, 5, dtype=D, requires_grad=True), random_state(module, 5)
    lengths = [3, 0, 6, 1, 4]
    y, final = module(x, state, lengths=torch.tensor(lengths))
    alone_y, alone_final = [], []
    for row, length in enumerate(lengths):
        own = {k: v[:, row : row + 1] for k, v in state.items()}
        if not length:
            alone_y.append(torch.zeros_like(y[:, :1]))
            alone_final.append(own)
            continue
        one, last = module(x[:length, row : row + 1], own)
        alone_y.append(torch.cat((one, one.new_zeros(6 - length, 1, one.shape[2]))))
        alone_final.append(last)
    expected = torch.cat(alone_y, 1), {k: torch.cat([last[k] for last in alone_final], 1) for k in final}
    agree((y, final), expected)
    inputs = leaves(module, x, state)
    agree(gradients((y, final), inputs), gradients(expected, inputs))


def test_padding_is_never_read(agree):
    module = make("LSTM", bidirectional=True)
    x = torch.randn(6, 3, 5, dtype=D)
    y, state = module(x, lengths=[2, 6, 4])
    spoiled = x.clone()
    spoiled[2:, 0], spoiled[4:, 2] = float("nan"), float("inf")
    agree(module(spoiled, lengths=[2, 6, 4]), (y, state))


@pytest.mark.parametrize("name", ["GRU", Odd])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_masked_step_is_as_if_it_were_not_there(name, reverse, agree):
    module = make(name, reverse=reverse)
    x, state = torch.randn(6, 2, 5, dtype=D), random_state(module, 2)
    mask = torch.tensor([True, False, True, True, False, True])
    y, final = module(x, state, mask=mask[:, None].expand(6, 2))
    without, last = module(x[mask], state)
    agree((y[mask], final), (without, last))
    if name is Odd:
        agree(y[~mask], torch.zeros_like(y[~mask]))  # a local has nothing to hold
    else:
        assert torch.equal(y[1], y[2 if reverse else 0])


@pytest.mark.parametrize("name", ["LSTM", Odd])
def test_a_reset_is_a_fresh_start_in_both_directions(name, agree, gradients):
    module = make(name, bidirectional=True)
    x = torch.randn(7, 2, 5, dtype=D, requires_grad=True)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3] = True
    y, final = module(x, reset=reset)
    (first, left), (second, right) = module(x[:3]), module(x[3:])
    expected = {k: torch.stack((right[k][0], left[k][1])) for k in final}
    agree(y, torch.cat((first, second)))
    agree(final, expected)
    inputs = [x, *module.parameters()]
    agree(gradients((y, final), inputs), gradients((torch.cat((first, second)), expected), inputs))


@pytest.mark.parametrize("name", [*CELLS, "SCRN", Odd, Delayed])
def test_two_chunks_equal_the_whole(name, agree):
    module = make(name, num_layers=2)
    x = torch.randn(7, 3, 5, dtype=D)
    whole, final = module(x)
    first, state = module(x[:3])
    second, last = module(x[3:], state)
    agree((torch.cat((first, second)), last), (whole, final))


def test_every_form_of_a_batch_gives_the_same(agree):
    module, swapped = make("LSTM", num_layers=2), make("LSTM", num_layers=2, batch_first=True)
    swapped.load_state_dict(module.state_dict())
    x, mask = torch.randn(6, 3, 5, dtype=D), torch.rand(6, 3) < 0.7
    y, state = module(x, mask=mask, lengths=[4, 6, 1])
    agree(swapped(x.transpose(0, 1), mask=mask.T, lengths=[4, 6, 1]), (y.transpose(0, 1), state))
    alone = module(x[:, 0], {k: v[:, 0] for k, v in state.items()}, mask=mask[:, 0])
    rows = module(x, state, mask=mask)
    agree(alone, (rows[0][:, 0], {k: v[:, 0] for k, v in rows[1].items()}))


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_in_packed_out(batch_first, agree):
    module = make("GRU", bidirectional=True, batch_first=batch_first)
    lengths, x = torch.tensor([2, 6, 3]), torch.randn(6, 3, 5, dtype=D)
    x = x.transpose(0, 1) if batch_first else x
    state = random_state(module, 3)
    packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
    y, final = module(packed, state)
    agree((pad_packed_sequence(y, batch_first=batch_first)[0], final), module(x, state, lengths=lengths))


def test_elapsed_may_be_written_to_before_the_backward_step(agree):
    @cell
    def Fading(p, x, h, dt):
        return tanh(p.W @ x + p.U @ h * exp(-dt))

    module = rnn.Recurrent(Fading, 3, 4, dtype=D)
    x, elapsed = torch.randn(5, 2, 3, dtype=D), torch.rand(5, 2, dtype=D)
    y, _ = module(x, elapsed=elapsed)
    before = torch.autograd.grad(y.sum(), module.U_l0, retain_graph=True)
    elapsed.mul_(7)
    agree(torch.autograd.grad(y.sum(), module.U_l0), before)
