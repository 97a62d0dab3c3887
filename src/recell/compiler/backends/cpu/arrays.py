"""NumPy arrays and torch tensors alike: addresses, new arrays, and views, without importing torch."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from recell.compiler.backends.cpu.workspace import Block

LARGE = 1 << 20  # bytes: blocks of the pool are whole huge pages, and a small fresh allocation costs little


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
    if hasattr(like, "data_ptr"):
        return like.new_zeros(shape) if zero else like.new_empty(shape)
    return np.zeros(shape, like.dtype) if zero else np.empty(shape, like.dtype)


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


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """The same memory as a NumPy array."""
    return array.detach().numpy() if hasattr(array, "data_ptr") else np.asarray(array)


def from_numpy(array: np.ndarray[Any, Any], like: Any) -> Any:
    """A NumPy array as the kind of `like`."""
    if not hasattr(like, "data_ptr"):
        return array
    import torch  # only reached where the caller's own arrays are torch's

    return torch.from_numpy(np.array(array, order="C"))
