"""NumPy arrays and torch tensors alike: addresses, new arrays, and views, without importing torch."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from recell.compiler.backends.cpu.workspace import Block

# Bytes. From here on, blocks of the pool, which are whole huge pages, and torch's operators on all its threads. Below, a fresh
# allocation costs little, and waking the threads costs more than the work (30 us, where memset takes 5).
LARGE = 1 << 20


def is_torch(array: Any) -> bool:
    """Whether the kernel was called with a torch tensor; any other array is NumPy's."""
    return hasattr(array, "data_ptr")


def address(array: Any) -> int:
    """Where the first element lies; the array must be contiguous."""
    return array.data_ptr() if hasattr(array, "data_ptr") else array.__array_interface__["data"][0]


def empty(like: Any, shape: tuple[int, ...], *, zero: bool = False) -> Any:
    """A new array of the kind and dtype of `like`; a large one lies in the workspace pool, whose pages are there already."""
    count = math.prod(shape)
    if count * like.itemsize >= LARGE:
        array = _pooled(like, count, shape)
        if zero:
            array[...] = 0
        return array
    if not hasattr(like, "data_ptr"):
        return np.zeros(shape, like.dtype) if zero else np.empty(shape, like.dtype)
    array = like.new_empty(shape)
    if zero:
        ctypes.memset(array.data_ptr(), 0, count * like.itemsize)
    return array


def _pooled(like: Any, count: int, shape: tuple[int, ...]) -> Any:
    """An array on a block of the pool; the block goes back when the array's memory is no longer used."""
    size = count * like.itemsize
    block = Block(size)
    memory = (ctypes.c_char * size).from_address(block.address)
    memory.block = block  # pyright: ignore[reportAttributeAccessIssue] - whoever holds the memory holds the block
    if hasattr(like, "data_ptr"):
        import torch  # only reached where the caller's own arrays are torch's

        flat = torch.frombuffer(memory, dtype=like.dtype)
        strides = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        return flat.new_empty(0).set_(flat.untyped_storage(), 0, shape, strides)
    return np.frombuffer(memory, like.dtype).reshape(shape)


def steps_of(base: Any, start: int, steps: int) -> Any:
    """base[start : start + steps] on the same memory; for torch no view, so that autograd lets a user change it in place."""
    if not hasattr(base, "data_ptr"):
        return base[start : start + steps]
    shape = (steps, *base.shape[1:])
    return base.new_empty(0).set_(base.untyped_storage(), start * base.stride(0), shape, base.stride())


def strides(array: Any) -> tuple[int, ...]:
    """Elements from one place to the next, along each axis."""
    return array.stride() if is_torch(array) else tuple(step // array.itemsize for step in array.strides)


def assign(destination: Any, source: Any) -> None:
    """destination[...] = source, of the same kind and shape."""
    if is_torch(destination) and destination.nbytes >= LARGE:
        destination.copy_(source)
    else:
        np.copyto(as_numpy(destination), as_numpy(source))


def copy_of(array: Any) -> Any:
    """The same values in memory of their own, in order."""
    copied = empty(array, tuple(array.shape))
    assign(copied, array)
    return copied


def side_by_side(arrays: Sequence[Any]) -> Any:
    """Arrays (..., size) joined along the last axis."""
    first, ends = arrays[0], list(itertools.accumulate(array.shape[-1] for array in arrays))
    whole = empty(first, (*first.shape[:-1], ends[-1]))
    for array, end in zip(arrays, ends, strict=True):
        assign(whole[..., end - array.shape[-1] : end], array)
    return whole


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """The same memory as a NumPy array."""
    return array.detach().numpy() if hasattr(array, "data_ptr") else np.asarray(array)


def from_numpy(array: np.ndarray[Any, Any], like: Any) -> Any:
    """A NumPy array as the kind of `like`."""
    if not hasattr(like, "data_ptr"):
        return array
    import torch  # only reached where the caller's own arrays are torch's

    return torch.from_numpy(np.array(array, order="C"))
