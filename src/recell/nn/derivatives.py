"""How torch differentiates a kernel: a node of its graph, the stash that hangs on it, and derivatives of derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from recell.compiler.backends.cpu.arrays import side_by_side
from recell.compiler.build import Call, Forward, Kernel, backward_all, forward_all
from recell.nn.calls import Joined, Place, Streams, kernel_call
from recell.nn.kernels import Kernels
from recell.nn.packing import Packing
from recell.nn.tensors import T, add_to, apart, plain

_NO_TENSORS = 5  # the arguments of a node that come before its tensors


class Sequences(torch.autograd.Function):
    """A kernel's forward and backward passes, of one way through x or of several, as one node of torch's graph.

    `tensors` are, way by way, the initial states and the stored parameters. The outputs are each way's y, or one y of all that
    are `joined`, and after them, way by way, the new states.
    """

    @staticmethod
    def forward(ctx: Any, kernels: Kernels, packing: Packing, streams: Streams, places: tuple[Place, ...], joined: Joined,
                x: Tensor, *tensors: Tensor) -> Any:
        ctx.kernels, ctx.packing, ctx.streams, ctx.places, ctx.joined = kernels, packing, streams, places, joined
        ctx.kernel = kernels.kernel(x, streams, ctx.needs_input_grad[_NO_TENSORS])
        ys, found = forward_ways(ctx.kernel, _calls(ctx, x, tensors), joined=joined, save=True)
        # Aliases: the stash may hold the tensors themselves, and an output that its own node holds is never freed.
        outputs = tuple([t.detach() for t in (*ys, *(state for one in found for state in one.states))])
        # These are kept to catch writes in place. A y that was copied together may be written to.
        ctx.save_for_backward(x, *tensors, *outputs[joined is Joined.COPIED :], hold([one.saved for one in found]))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        packing: Packing = ctx.packing
        x, *tensors, handle = ctx.saved_tensors
        tensors = tensors[: len(tensors) - len(gradients[ctx.joined is Joined.COPIED :])]  # without the outputs
        # Many gradients at once (`is_grads_batched`) lie in no memory that a kernel could read.
        if torch.is_grad_enabled() or any(map(is_legacy_batchedtensor, gradients)):
            return *[None] * _NO_TENSORS, *_decomposed_gradients(ctx, gradients, x, tensors)
        saved = held(handle)
        if saved is None:
            saved = [one.saved for one in forward_all(ctx.kernel, _calls(ctx, x, tensors), save=True)]
        found = backward_all(ctx.kernel, saved, _seeds(ctx, gradients))
        own = [t for one in found for t in (*one.states, *apart(packing.collect(one.parameters)))]
        return *[None] * _NO_TENSORS, _total([one.x for one in found]), *own


def _seeds(ctx: Any, gradients: Sequence[Tensor]) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
    """The gradients of each way's y and of its states."""
    count = len(ctx.places)
    first = 1 if ctx.joined else count  # the outputs before the states
    dys = [plain(dy) for dy in gradients[:first]]
    if ctx.joined:
        dys = dys[0].chunk(count, -1)  # all ways are of one cell, and as wide
    dstates = [tuple([plain(d) for d in share]) for share in shares(gradients[first:], count)]
    return list(zip(dys, dstates, strict=True))


def forward_ways(kernel: Kernel, calls: Sequence[Call], *, joined: Joined, save: bool) -> tuple[Sequence[Tensor], list[Forward]]:
    """What a kernel makes of calls over one x: each one's y, or one y of all where they are `joined`; and all else."""
    at_once = getattr(kernel, "forward_joined", None) if joined is Joined.WRITTEN else None
    if at_once:
        y, found = at_once(calls, save=save)
        return [y], found
    found = forward_all(kernel, calls, save=save)
    ys = [one.y for one in found]
    return [side_by_side(ys)] if joined else ys, found


def shares(tensors: Sequence[T], count: int) -> list[Sequence[T]]:
    """What belongs to each of `count` ways, of tensors in their order."""
    length = len(tensors) // count
    return [tensors[i * length : (i + 1) * length] for i in range(count)]


def _total(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The gradient of an x that several ways read; the kernel's own memory, so that it may be added to."""
    first, *others = parts
    for other in others:
        if first is not None and other is not None:
            add_to(first, other)
    return first


def _layer_of(ctx: Any) -> tuple[Kernels, Packing]:
    return ctx.kernels, ctx.packing


def _calls(ctx: Any, x: Tensor, tensors: Sequence[Tensor]) -> list[Call]:
    kernels, packing = _layer_of(ctx)
    count = len(kernels.cell.states)
    return [kernel_call(x, share[:count], packing.unpack(share[count:]), ctx.streams, place)
            for share, place in zip(shares(tensors, len(ctx.places)), ctx.places, strict=True)]


def _decomposed_gradients(ctx: Any, gradients: Sequence[Tensor], x: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients by torch's own operators: for a second derivative as a graph of them."""
    kernels, packing = _layer_of(ctx)
    count, inputs = len(kernels.cell.states), (x, *tensors)

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        ys, finals = list[Tensor](), list[Tensor]()
        for share, place in zip(shares(inputs[1:], len(ctx.places)), ctx.places, strict=True):
            y, states = kernels.decompose(inputs[0], share[:count], packing.unpack(share[count:]), ctx.streams, place)
            ys.append(y)
            finals += states
        return [*([torch.cat(ys, -1)] if ctx.joined else ys), *finals]

    return gradients_of(run, inputs, ctx.needs_input_grad[_NO_TENSORS:], gradients, create_graph=torch.is_grad_enabled())


class _Box(np.ndarray[Any, Any]):
    """One number in memory that a tensor can own, with a kernel's stash hanging on it."""

    saved: Any


_boxes: WeakValueDictionary[int, _Box] = WeakValueDictionary()
_numbers = itertools.count(1)


def hold(saved: object) -> Tensor:
    """A tensor that keeps a kernel's stash alive for as long as its own memory lives.

    Saved as a tensor, the stash obeys whatever torch does with saved tensors: activation checkpointing drops it, and a
    compiled graph frees it after its last use.
    """
    number = next(_numbers)
    box = np.array([number]).view(_Box)
    box.saved = saved
    _boxes[number] = box
    return torch.from_numpy(box)


def held(handle: Tensor) -> Any | None:
    """The stash behind a handle, or None where the handle was copied and the original is gone."""
    box = _boxes.get(int(handle))
    return None if box is None else box.saved


def gradients_of(run: Any, inputs: Sequence[Tensor], needed: Sequence[bool], gradients: Sequence[Tensor],
                 create_graph: bool) -> list[Tensor | None]:
    """Vector-Jacobian products of `run` at `inputs` by torch's own autograd; None where not needed or not reached."""
    with torch.enable_grad():
        # Aliases: the derivative by x must not run through a state that was itself computed from x.
        aliases = [t.view_as(t) if need else t for t, need in zip(inputs, needed, strict=True)]
        pairs = [(y, dy) for y, dy in zip(run(aliases), gradients, strict=True) if y.requires_grad]
        asked = [alias for alias, need in zip(aliases, needed, strict=True) if need]
        found = iter(torch.autograd.grad([y for y, _ in pairs], asked, [dy for _, dy in pairs],
                                         create_graph=create_graph, allow_unused=True))
    return [next(found) if need else None for need in needed]
