"""The door of every sequence module: whatever form a batch comes in, inside it is (T, N, input), longest row first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recell.errors import ShapeError
from recell.nn.calls import Streams, active_rows, values_of
from recell.nn.tensors import is_watched, name_of

Lengths = Tensor | Sequence[int]
_CASTS = {torch.float32: "float()", torch.float64: "double()"}


class Batch(NamedTuple):
    """A batch inside the door, and what it takes to give its outputs the form that it came in."""

    x: Tensor  # (T, N, input)
    streams: Streams
    order: Tensor | None = None  # (N,) which row of the user's batch stands where
    restore: Tensor | None = None  # (N,) the way back
    batch_first: bool = False
    unbatched: bool = False
    packed: PackedSequence | None = None

    def sort_rows(self, tensor: Tensor, dim: int) -> Tensor:
        """Rows of the user's batch in the order of this one."""
        return tensor if self.order is None else tensor.index_select(dim, self.order)

    def leave_state(self, state: Tensor) -> Tensor:
        """(layers * directions, N, size) as the user expects it: his order of rows, no rows where he gave none."""
        if self.restore is not None:
            state = state.index_select(1, self.restore)
        return state.squeeze(1) if self.unbatched else state

    def leave(self, y: Tensor) -> Tensor | PackedSequence:
        """(T, N, size) in the form of the x that came."""
        if self.packed is not None:
            assert self.streams.lengths is not None
            data, sizes, *_ = pack_padded_sequence(y, self.streams.lengths.cpu())
            return PackedSequence(data, sizes, self.packed.sorted_indices, self.packed.unsorted_indices)
        return self.leave_padded(y)

    def leave_padded(self, y: Tensor) -> Tensor:
        """(T, N, size) in the user's order of rows and axes."""
        if self.restore is not None:
            y = y.index_select(1, self.restore)
        if self.unbatched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y


def enter(x: Tensor | PackedSequence, *, input_size: int, like: Tensor, batch_first: bool = False,
          lengths: Lengths | None = None, mask: Tensor | None = None, reset: Tensor | None = None,
          elapsed: Tensor | None = None, seed: Tensor | None = None) -> Batch:
    """Check a batch and bring it inside. `like` is one of the module's parameters: its dtype and device rule.

    x (T, N, input), or (N, T, input) with `batch_first`, or (T, input) for a single sequence, or a PackedSequence;
    `mask`, `reset` and `elapsed` have x's first axes (a PackedSequence's: those of its padded form); lengths (N,).
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ShapeError("a PackedSequence carries its own lengths; write lengths=None")
        return _enter_packed(x, input_size, like, batch_first, mask, reset, elapsed, seed)
    x = checked_input(x, like, input_size, (2, 3))
    unbatched, lead = x.dim() == 2, x.shape[:-1]
    if unbatched:
        if lengths is not None:
            raise ShapeError(f"lengths belong to a batch, and x is one sequence {tuple(x.shape)}; "
                             "write x[:length] or x.unsqueeze(1)")
        x = x.unsqueeze(1)
    elif batch_first:
        x = x.transpose(0, 1)
    if x.shape[0] == 0:
        raise ShapeError(f"x has no time step: {tuple(x.shape)} as (T, N, input); give at least one")
    flip = batch_first and not unbatched
    batch = Batch(x.contiguous(), Streams(seed=seed), None, None, batch_first, unbatched)
    if lengths is not None:
        batch = _sort(batch, lengths)
    if mask is None and reset is None and elapsed is None:
        return batch
    return _with_streams(batch, lead, flip, mask, reset, elapsed)


def _enter_packed(packed: PackedSequence, input_size: int, like: Tensor, batch_first: bool, mask: Tensor | None,
                  reset: Tensor | None, elapsed: Tensor | None, seed: Tensor | None) -> Batch:
    data = checked_input(packed.data, like, input_size, (2,))
    # Without its indices a packed sequence unpacks in its own order: longest row first.
    x, lengths = pad_packed_sequence(PackedSequence(data, packed.batch_sizes))
    active = None if _has_no_values(x) else packed.batch_sizes.numpy().copy()
    streams = Streams(lengths.to(like.device), active, seed=seed, rows=packed.sorted_indices)
    batch = Batch(x, streams, packed.sorted_indices, packed.unsorted_indices, batch_first, packed=packed)
    lead = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    return _with_streams(batch, lead, batch_first, mask, reset, elapsed)


def checked_input(x: object, like: Tensor, input_size: int, dims: tuple[int, ...]) -> Tensor:
    """x if it is a tensor of the right size, dtype and device; cast under autocast; one clear error otherwise."""
    if not isinstance(x, Tensor):
        raise ShapeError(f"x is a {type(x).__name__}; give a torch.Tensor")
    if x.dim() not in dims:
        raise ShapeError(f"x has {x.dim()} dimensions {tuple(x.shape)}; give {' or '.join(map(str, dims))}, "
                         f"the last one of size {input_size}")
    if x.shape[-1] != input_size:
        raise ShapeError(f"x has {x.shape[-1]} features in its last dimension {tuple(x.shape)}; "
                         f"this module was made with input_size={input_size}")
    return checked_tensor("x", x, like)


def checked_tensor(name: str, tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor if dtype and device are the parameters'; under autocast it is cast to their dtype."""
    if tensor.device != like.device:
        remedy = f"{name}.to({str(like.device)!r})"
        if tensor.is_meta:  # there are no values to bring over
            remedy = f"{name} on the device {str(like.device)!r}"
        elif like.is_meta:
            remedy = f"module.to_empty(device={str(tensor.device)!r})"
        raise ShapeError(f"{name} is on {tensor.device} and the parameters are on {like.device}; write {remedy}")
    if not tensor.dtype.is_floating_point:
        raise ShapeError(f"{name} is {name_of(tensor.dtype)} and the parameters are {name_of(like.dtype)}; "
                         f"write {name}.{_CASTS.get(like.dtype, f'to({like.dtype})')}")
    if tensor.dtype != like.dtype:
        if not torch._C._is_any_autocast_enabled():
            raise ShapeError(f"{name} is {name_of(tensor.dtype)} and the parameters are {name_of(like.dtype)}; "
                            f"write {name}.to({like.dtype}), or module.to({tensor.dtype})")
        return tensor.to(like.dtype)
    return tensor


def _sort(batch: Batch, lengths: Lengths) -> Batch:
    """The batch with its longest row first, and the count of rows that still run at each step."""
    x = batch.x
    steps, rows = x.shape[:2]
    lengths = _checked_lengths(lengths, rows, x.device)
    if _has_no_values(x):  # nothing to look at: the check of lengths is in the operator
        ordered, order = torch.sort(lengths, descending=True, stable=True)
        streams = batch.streams._replace(lengths=ordered, rows=order)
        return batch._replace(x=x.index_select(1, order), streams=streams, order=order, restore=torch.argsort(order))
    values = values_of(lengths, steps)
    streams = batch.streams._replace(lengths=lengths, active=active_rows(values, steps))
    if (values[:-1] >= values[1:]).all():
        return batch._replace(streams=streams)
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    return batch._replace(x=x.index_select(1, order), streams=streams._replace(lengths=ordered, rows=order),
                          order=order, restore=torch.argsort(order))


def _has_no_values(x: Tensor) -> bool:
    return torch.compiler.is_compiling() or x.is_meta or is_watched(x)


def _checked_lengths(lengths: Lengths, rows: int, device: torch.device) -> Tensor:
    try:
        tensor = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"lengths cannot be read as whole numbers ({error}); give one per row") from None
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool:
        raise ShapeError(f"lengths are {name_of(tensor.dtype)}; give whole numbers, one per row")
    if tensor.dim() != 1 or tensor.shape[0] != rows:
        raise ShapeError(f"lengths have the shape {tuple(tensor.shape)}; give one per row: ({rows},)")
    return tensor.to(device=device, dtype=torch.int64)


def _with_streams(batch: Batch, lead: Sequence[int], flip: bool, mask: Tensor | None, reset: Tensor | None,
                  elapsed: Tensor | None) -> Batch:
    """The batch with its (T, N) streams, in the batch's order and in x's dtype."""
    given = {"mask": mask, "reset": reset, "elapsed": elapsed}
    streams = {name: _stream(name, stream, batch, lead, flip) for name, stream in given.items() if stream is not None}
    if "reset" in streams and batch.streams.lengths is not None:
        # The padding cuts nothing: a reset right behind a row's end would take the reverse direction's initial state.
        steps = torch.arange(batch.x.shape[0], device=batch.x.device).unsqueeze(1)
        streams["reset"] = streams["reset"] * (steps < batch.streams.lengths)
    return batch._replace(streams=batch.streams._replace(**streams))


def _stream(name: str, stream: object, batch: Batch, lead: Sequence[int], flip: bool) -> Tensor:
    if not isinstance(stream, Tensor):
        raise ShapeError(f"{name} is a {type(stream).__name__}; give a torch.Tensor")
    if tuple(stream.shape) != tuple(lead):
        raise ShapeError(f"{name} has the shape {tuple(stream.shape)}; give x's first axes: {tuple(lead)}")
    if name != "elapsed" and stream.dtype != torch.bool:
        raise ShapeError(f"{name} is {name_of(stream.dtype)}; give booleans: {name}.bool()")
    if stream.device != batch.x.device:
        raise ShapeError(f"{name} is on {stream.device} and x is on {batch.x.device}; give both on one device")
    # A copy: nothing keeps the user from writing into his own before the backward step reads it.
    stream = stream.detach().to(batch.x.dtype, copy=True)
    stream = stream.unsqueeze(1) if batch.unbatched else stream.transpose(0, 1) if flip else stream
    return batch.sort_rows(stream, 1).contiguous()
