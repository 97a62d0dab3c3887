"""The operators `recell::forward` and `recell::backward`: what torch sees of a kernel while it compiles or exports.

Both name their kernel by a plan, a text that carries the cell's graph, its sizes and the backend, so that a program
exported here runs in any process that has imported `recell.nn`. Shapes may be symbolic: one graph serves every T and N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recell.nn.bridge import Runner, runner_of
from recell.nn.calls import Place, Streams, kernel_call
from recell.nn.derivatives import gradients_of, held, hold
from recell.nn.tensors import apart, plain

_STREAMS = "Tensor? lengths, Tensor? mask, Tensor? reset, Tensor? elapsed, Tensor? seed, Tensor? rows"
_PLACE = "int layer, int direction, bool reverse"
_library = torch.library.Library("recell", "DEF")
# forward returns y, the new states and a handle: the kernel's stash where `save`, an empty tensor otherwise.
_library.define(f"forward(str plan, Tensor x, Tensor[] states, Tensor[] parameters, {_STREAMS}, {_PLACE}, "
                "bool save, bool input_gradient) -> Tensor[]")
# backward reads the outputs too: the kernel reads their memory, so that no graph may reuse it before.
_library.define("backward(str plan, Tensor[] gradients, Tensor x, Tensor[] states, Tensor[] parameters, "
                f"Tensor[] outputs, Tensor handle, {_STREAMS}, {_PLACE}, bool input_gradient) -> Tensor[]")


def _streams(lengths: Tensor | None, mask: Tensor | None, reset: Tensor | None, elapsed: Tensor | None,
             seed: Tensor | None, rows: Tensor | None) -> Streams:
    mask, reset, elapsed = (None if s is None else s.contiguous() for s in (mask, reset, elapsed))
    return Streams(lengths, None, mask, reset, elapsed, seed, rows)


def _forward(plan: str, x: Tensor, states: list[Tensor], parameters: list[Tensor], *options: Any) -> list[Tensor]:
    *streams, layer, direction, reverse, save, input_gradient = options
    runner, streams = runner_of(plan), _streams(*streams)
    kernel = runner.kernels.kernel(x, streams, input_gradient)
    has_backward = _has_backward(runner, x)
    save = save and has_backward
    result = kernel.forward(kernel_call(x, states, parameters, streams, Place(layer, direction, reverse)), save=save)
    outputs = [result.y, *result.states]
    if not has_backward:  # torch's own operators give views, and an operator's outputs may share no memory
        outputs = [t.clone() for t in outputs]
    return [*outputs, hold(result.saved) if save else torch.empty(0, dtype=torch.int64)]


def _has_backward(runner: Runner, x: Tensor) -> bool:
    return runner.kernels.backend_for(x.dtype, x.device) != "eager"


def _forward_shapes(plan: str, x: Tensor, states: list[Tensor], parameters: list[Tensor],
                    *options: Any) -> list[Tensor]:
    runner, save = runner_of(plan), options[-2]
    handle = torch.empty(1 if save and _has_backward(runner, x) else 0, dtype=torch.int64, device="cpu")
    y = x.new_empty((x.shape[0], x.shape[1], runner.output_size))
    return [y, *[x.new_empty((x.shape[1], size)) for size in runner.state_sizes], handle]


def _forward_autograd(plan: str, x: Tensor, states: list[Tensor], parameters: list[Tensor],
                      *options: Any) -> list[Tensor]:
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *parameters)):
        return list(_Operator.apply(plan, options[:6], Place(*options[6:9]), len(states), x, *states, *parameters))
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.recell.forward(plan, x, states, parameters, *options)


class _Operator(torch.autograd.Function):
    """The forward operator's derivative, written with the backward operator."""

    @staticmethod
    def forward(ctx: Any, plan: str, streams: Sequence[Tensor | None], place: Place, count: int, x: Tensor,
                *tensors: Tensor) -> Any:
        ctx.plan, ctx.streams, ctx.place, ctx.count = plan, streams, place, count
        with torch._C._AutoDispatchBelowAutograd():
            outputs = torch.ops.recell.forward(plan, x, tensors[:count], tensors[count:], *streams, *place,
                                               True, ctx.needs_input_grad[4])
        ctx.save_for_backward(x, *tensors, *outputs)
        ctx.mark_non_differentiable(outputs[-1])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        count = ctx.count
        x, *rest, handle = ctx.saved_tensors
        tensors, outputs = rest[: -1 - count], rest[-1 - count:]
        needed = ctx.needs_input_grad[4]
        dx, *found = torch.ops.recell.backward(
            ctx.plan, list(gradients[:-1]), x, tensors[:count], tensors[count:], outputs, handle,
            *ctx.streams, *ctx.place, needed)
        return None, None, None, None, dx if needed else None, *found


def _backward(plan: str, gradients: list[Tensor], x: Tensor, states: list[Tensor], parameters: list[Tensor],
              outputs: list[Tensor], handle: Tensor, *options: Any) -> list[Tensor]:
    *streams, layer, direction, reverse, input_gradient = options
    runner, streams, place = runner_of(plan), _streams(*streams), Place(layer, direction, reverse)
    if not _has_backward(runner, x):
        return _decomposed(runner, gradients, (x, *states, *parameters), streams, place, create_graph=False)
    kernel, saved = runner.kernels.kernel(x, streams, input_gradient), held(handle)
    if saved is None:
        saved = kernel.forward(kernel_call(x, states, parameters, streams, place), save=True).saved
    found = kernel.backward(saved, plain(gradients[0]), tuple(plain(d) for d in gradients[1:]))
    dx = x.new_empty(0) if found.x is None else found.x
    frozen = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found.parameters, strict=True)]
    return [dx, *found.states, *apart(frozen)]


def _backward_shapes(plan: str, gradients: list[Tensor], x: Tensor, states: list[Tensor], parameters: list[Tensor],
                     outputs: list[Tensor], handle: Tensor, *options: Any) -> list[Tensor]:
    dx = x.new_empty(x.shape if options[-1] else (0,))
    return [dx, *[x.new_empty(t.shape) for t in (*states, *parameters)]]


def _backward_autograd(plan: str, gradients: list[Tensor], x: Tensor, states: list[Tensor],
                       parameters: list[Tensor], *rest: Any) -> list[Tensor]:
    inputs = (x, *states, *parameters)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*gradients, *inputs)):
        streams, place = _streams(*rest[2:8]), Place(*rest[8:11])
        return _decomposed(runner_of(plan), gradients, inputs, streams, place, create_graph=True)
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.recell.backward(plan, gradients, x, states, parameters, *rest)


def _decomposed(runner: Runner, gradients: Sequence[Tensor], inputs: Sequence[Tensor], streams: Streams,
                place: Place, *, create_graph: bool) -> list[Tensor]:
    """All gradients by torch's autograd over the eager decomposition, which is run again for it."""
    count = len(runner.state_sizes)

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        y, states = runner.kernels.decompose(inputs[0], inputs[1: 1 + count], inputs[1 + count:], streams, place)
        return y, *states

    with _autograd_on():
        if not create_graph:
            inputs = [t.detach().requires_grad_() for t in inputs]
        needed = [t.requires_grad for t in inputs]
        found = gradients_of(run, inputs, needed, gradients, create_graph)
    return [torch.zeros_like(t) if g is None else g.contiguous() for t, g in zip(inputs, found, strict=True)]


def _autograd_on() -> Any:
    """Inside an operator torch has switched autograd's dispatch off; this switches it on again."""
    keys = torch._C.DispatchKeySet
    off = torch._C._dispatch_tls_local_exclude_set()
    for key in ("AutogradOther", "AutogradCPU", "AutogradCUDA", "AutogradFunctionality", "ADInplaceOrView"):
        if hasattr(torch._C.DispatchKey, key):
            off = off - keys(getattr(torch._C.DispatchKey, key))
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), off)


_library.impl("forward", _forward, "CompositeExplicitAutograd")
_library.impl("backward", _backward, "CompositeExplicitAutograd")
_library.impl("forward", _forward_autograd, "Autograd")
_library.impl("backward", _backward_autograd, "Autograd")
torch.library.register_fake("recell::forward", _forward_shapes, lib=_library)
torch.library.register_fake("recell::backward", _backward_shapes, lib=_library)
