"""Connectionist temporal classification: `recell.nn.losses.ctc_loss`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recell.compiler.backends.cpu.ctc import Sequences
from recell.compiler.backends.cpu.ctc import ctc_loss as run_kernel
from recell.errors import DataError, RecellError, ShapeError, is_whole, message
from recell.nn.tensors import name_of, no_dtype_of_a_kernel, no_kernel_for, plain

_REDUCTIONS = ("mean", "sum", "none")
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8)
LengthsOf = Tensor | Sequence[int]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: LengthsOf,
    target_lengths: LengthsOf,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of all alignments that read as the targets, as ``torch.nn.functional.ctc_loss`` is called
    (Graves et al., "Connectionist temporal classification", 2006).

    log_probs (T, N, C) or (T, C), of a log_softmax; targets (N, S), of which the first ``target_lengths`` count, or all
    sequences' labels one after the other; lengths (N,), a tensor or numbers, zero allowed. The loss is in nats: (N,) with
    ``reduction`` "none", their sum, or with "mean" the mean of each loss over its target length. It is infinite, and its
    gradient NaN, where the steps are too few for the labels; with ``zero_infinity`` both are 0.

    As torch's, the gradient is that of the scores before the log_softmax, exp(log_probs) - gamma: the same once it has passed
    through log_softmax. There is no second derivative: asking for one is refused. The kernel computes in float64 inside,
    takes float32 and float64 on the CPU, float32 under autocast; torch's own function computes for other devices and dtypes,
    forward-mode derivatives, functorch transforms, ``torch.compile`` and tracing.

    Raises ShapeError for shapes and dtypes that do not fit, DataError for labels and lengths that do not exist, the blank among
    the labels included, RecellError for an unknown reduction.
    """
    given: Any
    for name, given in (("log_probs", log_probs), ("targets", targets)):
        if not isinstance(given, Tensor):
            raise ShapeError(message(f"{name} is a torch.Tensor", came=type(given).__name__, write=f"torch.as_tensor({name})"))
    if no_kernel_for(log_probs, targets) or no_dtype_of_a_kernel(log_probs):  # torch's own function computes this
        return functional.ctc_loss(
            log_probs, targets, _for_torch(input_lengths), _for_torch(target_lengths), blank, reduction, zero_infinity
        )
    if reduction not in _REDUCTIONS:
        raise RecellError(message("there is no such reduction", came=repr(reduction), write="'mean', 'sum' or 'none'"))
    if torch.is_autocast_enabled("cpu") and log_probs.dtype != torch.float64:
        log_probs = log_probs.float()
    batch = log_probs if log_probs.dim() == 3 else log_probs[:, None] if log_probs.dim() == 2 else _wrong_shape(log_probs)
    sequences = _checked(batch, targets, input_lengths, target_lengths, blank, zero_infinity)
    losses: Any = _Loss.apply(sequences, batch) if torch.is_grad_enabled() and batch.requires_grad else run_kernel(sequences)[0]
    if reduction == "mean":
        return (losses / sequences.target_lengths.clamp(min=1)).mean()
    return losses.sum() if reduction == "sum" else losses if log_probs.dim() == 3 else losses[0]


def _for_torch(lengths: LengthsOf) -> Any:
    return lengths if isinstance(lengths, Tensor) else tuple(lengths)


def _wrong_shape(log_probs: Tensor) -> Any:
    raise ShapeError(message("log_probs are (T, N, C), or (T, C)", came=tuple(log_probs.shape), write="y.log_softmax(-1)"))


def _checked(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: LengthsOf,
    target_lengths: LengthsOf,
    blank: int,
    zero_infinity: bool,
) -> Sequences:
    """What the kernel reads, from log_probs (T, N, C)."""
    steps, rows, classes = log_probs.shape
    if not is_whole(blank, least=0, most=classes - 1):
        raise DataError(message(f"blank is one of the {classes} classes of log_probs", came=blank, write="blank=0"))
    blank = int(blank)
    if targets.dtype not in _INTEGERS:
        raise ShapeError(message("targets are whole numbers", came=name_of(targets.dtype), write="targets.long()"))
    inputs = _lengths("input_lengths", input_lengths, rows, steps, "steps")
    labels = _lengths("target_lengths", target_lengths, rows, None, "labels")
    flat, counted, offsets = _flat(targets, labels, rows)
    _check_labels(flat, counted, classes, blank)
    return Sequences(plain(log_probs.detach()), flat, offsets, labels, inputs, blank, zero_infinity)


def _lengths(name: str, given: LengthsOf, rows: int, most: int | None, what: str) -> Tensor:
    lengths = torch.as_tensor(given).cpu()
    lengths = lengths.reshape(1) if not lengths.dim() and rows == 1 else lengths
    if lengths.shape != (rows,) or (lengths.numel() and lengths.dtype not in _INTEGERS):
        came = f"{name_of(lengths.dtype)} of shape {tuple(lengths.shape)}"
        raise ShapeError(message(f"{name} has one whole number for each of {rows} sequences", came=came))
    lengths = lengths.to(torch.int64).contiguous()
    wrong = (lengths < 0) | (lengths > (most if most is not None else torch.iinfo(torch.int64).max))
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        limit = "0 and more" if most is None else f"0 to {most}"
        raise DataError(message(f"{name}[{row}] is no number of {what}", came=int(lengths[row]), write=limit))
    return lengths


def _flat(targets: Tensor, labels: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """All labels in one row, padding included, which of them count, and where each sequence's begin."""
    flat = plain(targets).reshape(-1).to(torch.int64)
    if targets.dim() == 2 and targets.shape[0] == rows:
        longest, room = int(labels.max()) if rows else 0, targets.shape[1]
        if longest > room:
            raise ShapeError(
                message(f"targets have room for target_lengths, of which one is {longest}", came=tuple(targets.shape))
            )
        return flat, (torch.arange(room) < labels[:, None]).flatten(), torch.arange(rows) * room
    total = int(labels.sum())
    if targets.dim() != 1 or len(targets) != total:
        line = f"targets are ({rows}, S), or of all sequences one after the other, ({total},)"
        raise ShapeError(message(line, came=tuple(targets.shape)))
    return flat, torch.ones(total, dtype=torch.bool), labels.cumsum(0) - labels


def _check_labels(flat: Tensor, counted: Tensor, classes: int, blank: int) -> None:
    wrong = ((flat < 0) | (flat >= classes) | (flat == blank)) & counted
    if wrong.any():
        line = f"labels go from 0 to {classes - 1} without the blank, {blank}"
        raise DataError(message(line, came=int(flat[wrong][0])))


class _Loss(torch.autograd.Function):
    """Every sequence's loss as one node of torch's graph; its gradient is computed with it, and scaled when it is asked for."""

    @staticmethod
    def forward(ctx: Any, given: Sequences, log_probs: Tensor) -> Tensor:
        losses, gradient = run_kernel(given, gradient=True)
        ctx.save_for_backward(log_probs)  # a change of log_probs in place is refused, as torch refuses it
        ctx.found = gradient
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, _Scaled.apply(ctx.found, gradients[0], *ctx.saved_tensors)


class _Scaled(torch.autograd.Function):
    """The gradient as autograd sees it: no function of anything that could be differentiated again."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, factors: Tensor, log_probs: Tensor) -> Tensor:
        return found * factors[None, :, None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RecellError(message("ctc_loss has no second derivative", write="create_graph=False"))
