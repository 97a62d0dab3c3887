"""What does a ragged batch cost in training, beside torch.nn.LSTM on a PackedSequence?

50 steps, 16 rows, 256 inputs, 256 units, lengths uniform in 1..50 (the same ones on both sides). torch is given the batch as
its documentation says, through `pack_padded_sequence(enforce_sorted=False)` and back through `pad_packed_sequence`; once more
with the rows sorted and packed beforehand, as a careful user would do it, with nothing but the LSTM inside the clock. recell
is given the padded batch in any order, and `lengths`. A step is forward and backward with the gradients of the input and all
parameters; sides take turns in one process, medians. `padded` is each side without lengths, on all 50 steps.

What bounds it: `bound` is the ratio that no kernel of the valid steps' products can pass, and only one at the peak would
reach it. The rows still running shrink from 16 to 1, and products of few rows run at about half of the peak (`kernel`, at B =
1), and that is what the valid steps of a short tail cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn
from recell.bench.report import Row, against
from recell.bench.sides import Shape, inputs_of, training_operations, training_step
from recell.bench.timing import Options, Step, medians, peak, take_turns

KIND = "module"
SHAPE: Shape = (50, 16, 256, 256)
PROMISED = 3.0


def rows(options: Options) -> Iterator[Row]:
    x, dy = inputs_of(SHAPE)
    steps, batch, inputs, hidden = SHAPE
    lengths = torch.randint(1, steps + 1, (batch,))
    lengths[0] = steps  # pad_packed_sequence gives back the longest row's steps
    theirs, ours = torch.nn.LSTM(inputs, hidden), rnn.LSTM(inputs, hidden)
    sides: dict[str, Step] = {
        "recell": training_step(WithLengths(ours, lengths), x, dy),
        "torch PackedSequence": training_step(Packed(theirs, lengths), x, dy),
        "torch PackedSequence, packed before": packed_before(theirs, x, dy, lengths),
        "recell, padded": training_step(ours, x, dy),
        "torch.nn, padded": training_step(theirs, x, dy),
    }
    seconds = medians(take_turns(sides, rounds=15))
    valid = training_operations("LSTM", SHAPE) * float(lengths.sum()) / (steps * batch)
    what = f"LSTM {tuple(SHAPE)}, {int(lengths.sum())} of {steps * batch} steps valid"
    for name, bar in (("torch PackedSequence", PROMISED), ("torch PackedSequence, packed before", None)):
        yield against(what, name, seconds, at_least=bar) | {"bound": seconds[name] * peak(options.threads) / valid}
    padded = against(f"LSTM {tuple(SHAPE)}, padded", "torch.nn, padded", seconds, ours="recell, padded")
    yield padded | {"bound": seconds["torch.nn, padded"] * peak(options.threads) / training_operations("LSTM", SHAPE)}


class WithLengths(torch.nn.Module):
    """recell's module, given the lengths."""

    def __init__(self, module: torch.nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.module, self.lengths = module, lengths

    def forward(self, x: Tensor) -> Any:
        return self.module(x, lengths=self.lengths)


class Packed(torch.nn.Module):
    """torch's module between packing and padding."""

    def __init__(self, module: torch.nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.module, self.lengths = module, lengths

    def forward(self, x: Tensor) -> Any:
        packed, state = self.module(pack_padded_sequence(x, self.lengths, enforce_sorted=False))
        return pad_packed_sequence(packed)[0], state


def packed_before(module: torch.nn.Module, x: Tensor, dy: Tensor, lengths: Tensor) -> Step:
    packed = pack_padded_sequence(x.detach(), lengths, enforce_sorted=False)
    data = packed.data.requires_grad_()
    gradient = pack_padded_sequence(dy, lengths, enforce_sorted=False).data

    def step() -> None:
        data.grad = None
        for parameter in module.parameters():
            parameter.grad = None
        module(packed)[0].data.backward(gradient)

    return step
