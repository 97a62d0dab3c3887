"""What lies in a batch's padding changes nothing: every row gives what it gives alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn

D = torch.float64
LENGTHS = [3, 6, 0, 5]


@pytest.mark.parametrize("backend", ["auto", "eager"])
@pytest.mark.parametrize("packed", [False, True])
def test_streams_in_the_padding_change_nothing(packed, backend, agree, gradients):
    torch.manual_seed(5)
    lengths = [n or 1 for n in LENGTHS] if packed else LENGTHS  # torch packs no empty row
    module = rnn.Recurrent("GRU", 5, 4, bidirectional=True, dtype=D, backend=backend)
    x, state = torch.randn(6, 4, 5, dtype=D, requires_grad=True), torch.randn(2, 4, 4, dtype=D, requires_grad=True)
    inside = torch.arange(6)[:, None] < torch.tensor(lengths)
    reset, mask = torch.rand(6, 4) < 0.4, torch.rand(6, 4) < 0.7
    mask[0] = True

    def run(reset, mask):
        if not packed:
            return module(x, {"h": state}, lengths=lengths, reset=reset, mask=mask)
        y, final = module(pack_padded_sequence(x, lengths, enforce_sorted=False), {"h": state}, reset=reset, mask=mask)
        return pad_packed_sequence(y, total_length=6)[0], final

    noisy = run(reset | ~inside, mask | ~inside)
    quiet = run(reset & inside, mask & inside)
    alone = [
        module(x[:n, k : k + 1], {"h": state[:, k : k + 1]}, reset=reset[:n, k : k + 1], mask=mask[:n, k : k + 1])
        for k, n in enumerate(lengths)
        if n
    ]
    agree(noisy, quiet)
    agree(gradients(noisy, [x, state]), gradients(quiet, [x, state]))
    rows = [k for k, n in enumerate(lengths) if n]
    agree([noisy[0][: lengths[k], k] for k in rows], [y[:, 0] for y, _ in alone])
    agree([noisy[1]["h"][:, k] for k in rows], [final["h"][:, 0] for _, final in alone])
