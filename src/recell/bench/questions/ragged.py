"""What does a ragged batch cost in training, beside torch.nn.LSTM on a PackedSequence?

50 steps, 16 rows, 256 inputs, 256 units, lengths uniform in 1..50 (the same ones on both sides). torch is given the batch as
its documentation says, through `pack_padded_sequence(enforce_sorted=False)` and back through `pad_packed_sequence`; once more
with the rows sorted and packed beforehand, as a careful user would do it, with nothing but the LSTM inside the clock. recell
is given the padded batch in any order, and `lengths`. A step is forward and backward with the gradients of the input and all
parameters. Both sides of a row take turns in one process, medians; that is done in three processes, the row is the one whose
ratio is the middle one, and `ratios` are the lowest and the highest. `padded` is each side without lengths, on all 50 steps.

What bounds it: `bound` is the ratio that no kernel of the valid steps' products can pass, and only one at the peak would
reach it. The rows still running shrink from 16 to 1, and products of few rows run at about half of the peak (`kernel`, at B =
1), and that is what the valid steps of a short tail cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn
from recell.bench.report import Row, against
from recell.bench.sides import Shape, inputs_of, training_operations, training_step
from recell.bench.timing import Options, Step, in_child, medians, peak, take_turns

KIND = "module"
SHAPE: Shape = (50, 16, 256, 256)
PROCESSES = 3
BESIDE = {  # at least this ratio was promised
    "torch PackedSequence": 3.0,
    "torch PackedSequence, packed before": None,
    "torch.nn, padded": None,
}


def rows(options: Options) -> Iterator[Row]:
    for beside, bar in BESIDE.items():
        found = [in_child(f"{__name__}:pair", beside, options.threads) for _ in range(PROCESSES)]
        processes = sorted(found, key=lambda one: one[beside] / one["recell"])
        middle, ratios = processes[PROCESSES // 2], [one[beside] / one["recell"] for one in processes]
        part = "padded" if middle["valid"] == SHAPE[0] * SHAPE[1] else f"{middle['valid']} of {SHAPE[0] * SHAPE[1]} steps valid"
        operations = training_operations("LSTM", SHAPE) * middle["valid"] / (SHAPE[0] * SHAPE[1])
        row = against(f"LSTM {tuple(SHAPE)}, {part}", beside, middle, at_least=bar)
        yield row | {"ratios": f"{ratios[0]:.2f} - {ratios[-1]:.2f}", "bound": middle[beside] * middle["peak"] / operations}


def pair(beside: str, threads: int) -> dict[str, float]:
    """Median seconds of recell and of one other side in this process, its FMA peak, and how many steps are valid."""
    torch.set_num_threads(threads)
    x, dy = inputs_of(SHAPE)
    steps, batch, inputs, hidden = SHAPE
    lengths = torch.randint(1, steps + 1, (batch,))
    lengths[0] = steps  # pad_packed_sequence gives back the longest row's steps
    theirs, ours = torch.nn.LSTM(inputs, hidden), rnn.LSTM(inputs, hidden)
    padded = beside == "torch.nn, padded"
    others: dict[str, Callable[[], Step]] = {
        "torch PackedSequence": lambda: training_step(Packed(theirs, lengths), x, dy),
        "torch PackedSequence, packed before": lambda: packed_before(theirs, x, dy, lengths),
        "torch.nn, padded": lambda: training_step(theirs, x, dy),
    }
    own = training_step(ours if padded else WithLengths(ours, lengths), x, dy)
    seconds = medians(take_turns({"recell": own, beside: others[beside]()}, rounds=21))
    return seconds | {"peak": peak(threads, 8), "valid": steps * batch if padded else int(lengths.sum())}


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
