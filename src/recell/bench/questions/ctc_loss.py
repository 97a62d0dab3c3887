"""How much faster than torch's is the CTC loss with its gradient?

A step is loss and gradient by the log-probabilities, which are given: no network, no log_softmax. Both sides take turns in one
process, the figures are medians. Every sequence has all steps and all labels; shapes are (steps, sequences, symbols, labels):
letters for short and for long utterances, and word pieces.

What bounds it: two exponentials and two logarithms, on average, for each of 2 * labels + 1 places, each step and each of the
two directions, in float64 here, 8 places at once under AVX-512, in float32 and one by one in torch; where symbols are many,
reading the log-probabilities and writing as many gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from recell.bench.report import Row
from recell.bench.timing import Options, medians, take_turns
from recell.nn.losses import ctc_loss

KIND = "module"
Shape = tuple[int, int, int, int]  # steps, sequences, symbols, labels
SHAPES: tuple[Shape, ...] = ((150, 32, 29, 40), (1000, 16, 29, 150), (200, 32, 1000, 40))


def rows(options: Options) -> Iterator[Row]:
    for shape in SHAPES:
        yield measure(shape)


def measure(shape: Shape) -> Row:
    given = tensors(shape)
    seconds = medians(take_turns({"torch": step(functional.ctc_loss, *given), "recell": step(ctc_loss, *given)}, rounds=60))
    row: Row = {"(steps, sequences, symbols, labels)": str(shape)}
    row |= {f"{name} ms": 1e3 * value for name, value in seconds.items()}
    return row | {"ratio": seconds["torch"] / seconds["recell"]}


def tensors(shape: Shape) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    steps, sequences, symbols, labels = shape
    log_probs = torch.randn(steps, sequences, symbols).log_softmax(-1).requires_grad_()
    targets = torch.randint(1, symbols, (sequences, labels))
    return log_probs, targets, torch.full((sequences,), steps), torch.full((sequences,), labels)


def step(loss: Callable[..., Tensor], log_probs: Tensor, *others: Tensor) -> Callable[[], None]:
    def run() -> None:
        log_probs.grad = None
        loss(log_probs, *others).backward()

    return run
