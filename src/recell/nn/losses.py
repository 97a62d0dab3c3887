"""Losses that spare what their textbook form would store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions, functional

from recell.compiler.backends.cpu.loss import Layer, Losses
from recell.compiler.backends.cpu.loss import linear_cross_entropy as run_kernel
from recell.errors import DataError, RecellError, ShapeError, message
from recell.nn.ctc import ctc_loss
from recell.nn.derivatives import gradients_of
from recell.nn.tensors import name_of, no_dtype_of_a_kernel, no_kernel_for, plain

__all__ = ["ctc_loss", "linear_cross_entropy"]

_REDUCTIONS = ("mean", "sum", "none")
_IGNORED = -100  # torch's default


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)`` without ever storing the logits, as
    ``torch.nn.functional.linear_cross_entropy`` is called.

    input (N, D) or (D,), linear_weight (V, D), linear_bias (V,), target (N,) or () int64, weight (V,) weights of the classes.
    The loss is in nats: a scalar, or (N,) where ``reduction`` is "none". Rows whose target is ``ignore_index`` (-100) are not
    computed at all. ``label_smoothing`` as in Szegedy et al., "Rethinking the Inception Architecture" (2016).

    The forward pass takes the tokens in chunks, as Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models" (2024),
    take them in blocks: logits, softmax and the gradients of the mean or sum, before the next chunk overwrites them. Of
    ``options``, ``batch_chunk_size`` says how many tokens a chunk has; the other fields choose between ways of computing that
    this kernel does not have, and change nothing. Backward may run twice, and is differentiable: a second derivative stores the
    logits.

    The kernel computes in float32 and float64 on the CPU; under autocast it computes in float32. torch's own function computes
    the rest, with torch's memory and errors: other devices and dtypes, probabilities as targets, K-dimensional weights, a
    ``weight`` that requires a gradient, forward-mode derivatives, functorch transforms, ``torch.compile`` and tracing.

    Raises ShapeError for shapes or dtypes that do not fit, DataError for a target that is no class, RecellError for an
    option that does not exist.
    """
    arguments = (input, linear_weight, target, linear_bias, weight)
    if _is_torchs(*arguments):
        return functional.linear_cross_entropy(
            input,
            linear_weight,
            target,
            linear_bias=linear_bias,
            weight=weight,
            reduction=reduction,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            options=options,
        )
    how = _How(reduction, _IGNORED if ignore_index is None else ignore_index, float(label_smoothing), _chunk(options))
    _check_options(how)
    if torch.is_autocast_enabled("cpu"):
        input, linear_weight = _single(input), _single(linear_weight)
        linear_bias, weight = (t if t is None else _single(t) for t in (linear_bias, weight))
    _check_shapes(input, linear_weight, target, linear_bias, weight)
    _check_targets(target, linear_weight.shape[0], how.ignored)
    losses = _apply(how, input if input.dim() == 2 else input[None], linear_weight, linear_bias, target.reshape(-1), weight)
    return losses[0] if reduction == "none" and input.dim() == 1 else losses


class _How(NamedTuple):
    """What is no tensor."""

    reduction: str
    ignored: int
    smoothing: float
    chunk: int


def _is_torchs(input: Tensor, linear_weight: Tensor, target: Tensor, linear_bias: Tensor | None, weight: Tensor | None) -> bool:
    """Whether torch's own function computes this."""
    given = [t for t in (input, linear_weight, linear_bias, weight) if t is not None]
    if no_kernel_for(*given, target) or no_dtype_of_a_kernel(*given):
        return True
    if target.is_floating_point() or linear_weight.dim() > 2 or any(t.layout != torch.strided for t in given):
        return True
    return torch.is_grad_enabled() and weight is not None and weight.requires_grad


def _single(tensor: Tensor) -> Tensor:
    """What autocast makes of a tensor for a loss: float32, but for float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def _chunk(options: LinearCrossEntropyOptions | None) -> int:
    return 0 if options is None or options.batch_chunk_size is None else options.batch_chunk_size


def _check_options(how: _How) -> None:
    if how.reduction not in _REDUCTIONS:
        raise RecellError(message("there is no such reduction", came=repr(how.reduction), write="'mean', 'sum' or 'none'"))
    if not 0 <= how.smoothing <= 1:
        raise RecellError(message("label_smoothing is a part of the target", came=how.smoothing, write="a number from 0 to 1"))


def _check_shapes(
    input: Tensor, linear_weight: Tensor, target: Tensor, linear_bias: Tensor | None, weight: Tensor | None
) -> None:
    if input.dim() not in (1, 2) or linear_weight.dim() != 2 or input.shape[-1] != linear_weight.shape[1]:
        raise ShapeError(
            message(
                "input (N, D) and linear_weight (V, D) must have the same D",
                came=f"{tuple(input.shape)} and {tuple(linear_weight.shape)}",
                write="input.flatten(0, -2) where there are more dimensions",
            )
        )
    if target.shape != input.shape[:-1] or target.dtype != torch.int64:
        raise ShapeError(
            message(
                f"target holds one class per row, int64 of shape {tuple(input.shape[:-1])}",
                came=f"{name_of(target.dtype)} of shape {tuple(target.shape)}",
                write="target.flatten().long()",
            )
        )
    classes = linear_weight.shape[0]
    if not classes:
        raise ShapeError(message("linear_weight has no class", came=tuple(linear_weight.shape), write="a row for each class"))
    for name, tensor in (("linear_bias", linear_bias), ("weight", weight)):
        if tensor is not None and tensor.shape != (classes,):
            raise ShapeError(message(f"{name} has one entry for each class", came=tuple(tensor.shape), write=f"({classes},)"))
    for name, tensor in (("linear_weight", linear_weight), ("linear_bias", linear_bias), ("weight", weight)):
        if tensor is not None and tensor.dtype != input.dtype:
            raise ShapeError(
                message(
                    f"{name} must have the dtype of input, {name_of(input.dtype)}",
                    came=name_of(tensor.dtype),
                    write=f"{name}.to(input.dtype)",
                )
            )


def _check_targets(target: Tensor, classes: int, ignored: int) -> None:
    flat = target.reshape(-1)
    wrong = ((flat < 0) | (flat >= classes)) & (flat != ignored)
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise DataError(
            message(
                f"target[{row}] is no class of linear_weight, which has {classes}",
                came=int(flat[row]),
                write=f"0 to {classes - 1}, or ignore_index={ignored} for a row that does not count",
            )
        )


def _apply(how: _How, *tensors: Tensor | None) -> Tensor:
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors[:3]):
        return _Loss.apply(how, *tensors)
    layer = _layer(how, *tensors)
    return _reduced(layer, run_kernel(layer), how)


def _layer(how: _How, *tensors: Tensor | None) -> Layer:
    x, linear_weight, bias, target, weight = (None if t is None else plain(t.detach()) for t in tensors)
    return Layer(x, linear_weight, target, bias, weight, how.ignored, how.smoothing, how.chunk)


def _divisor(layer: Layer) -> Tensor:
    """What the sum of losses is divided by for their mean: the rows that count, by the weights of their classes."""
    counted = layer.targets != layer.ignored
    if layer.class_weights is None:
        return counted.sum().to(layer.x.dtype)
    return layer.class_weights[layer.targets[counted]].sum()


def _reduced(layer: Layer, found: Losses, how: _How) -> Tensor:
    if how.reduction == "none":
        return found.losses
    total = found.losses.sum()
    return total / _divisor(layer) if how.reduction == "mean" else total


class _Loss(torch.autograd.Function):
    """The loss as one node of torch's graph: its gradients are computed where its logits are."""

    @staticmethod
    def forward(ctx: Any, how: _How, *tensors: Tensor | None) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(*tensors)
        layer = _layer(how, *tensors)
        if how.reduction == "none":  # what a row's loss counts is not known yet
            ctx.found = None
            return run_kernel(layer).losses
        ctx.found = _with_gradients(layer, how, ctx.needs_input_grad[1:4])
        return _reduced(layer, ctx.found, how)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        how, (gradient,), tensors = ctx.how, gradients, ctx.saved_tensors
        needed = ctx.needs_input_grad[1:4]
        if torch.is_grad_enabled():
            return None, *_differentiable_gradients(how, gradient, tensors, needed), None, None
        if how.reduction == "none":
            found = run_kernel(_layer(how, *tensors), scale=plain(gradient), wanted=needed)
            return None, *found.gradients(), None, None
        found, ctx.found = ctx.found, None  # given away, to be scaled in place: a second backward makes them anew
        if found is None:
            found = _with_gradients(_layer(how, *tensors), how, needed)
        return None, *_scaled(found, float(gradient)), None, None


def _with_gradients(layer: Layer, how: _How, wanted: tuple[bool, bool, bool]) -> Losses:
    scale = None
    if how.reduction == "mean":
        scale = _divisor(layer).reciprocal().expand(len(layer.targets)).contiguous()
    return run_kernel(layer, scale=scale, wanted=wanted)


def _scaled(found: Losses, factor: float) -> list[Tensor | None]:
    return [g if g is None or factor == 1 else g.mul_(factor) for g in found.gradients()]


def _differentiable_gradients(how: _How, gradient: Tensor, tensors: Sequence[Any], needed: Sequence[bool]) -> list[Tensor | None]:
    """The gradients as a graph of torch operators, for a second derivative."""
    *differentiable, target, weight = tensors

    def run(inputs: Sequence[Any]) -> Sequence[Tensor]:
        logits = functional.linear(*inputs)
        return (
            functional.cross_entropy(
                logits, target, weight=weight, reduction=how.reduction, ignore_index=how.ignored, label_smoothing=how.smoothing
            ),
        )

    with torch.autocast("cpu", enabled=False):
        return gradients_of(run, differentiable, needed, [gradient], create_graph=True)
