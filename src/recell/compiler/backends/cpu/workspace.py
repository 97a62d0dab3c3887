"""Blocks of the native workspace pool, given back when their owner goes."""

from __future__ import annotations

from recell.compiler.backends.cpu.library import load
from recell.errors import RecellError


class Block:
    """One block; `address` is valid as long as this object lives."""

    __slots__ = ("_free", "address", "size")

    def __init__(self, size: int) -> None:
        library = load()
        self.size = size
        self._free = library.rc_free  # at interpreter exit the module may be gone before the block
        self.address: int = library.rc_alloc(max(size, 64)) or 0
        if not self.address:
            raise RecellError(f"memory is out: a workspace of {size} bytes was wanted; use shorter sequences or smaller batches")

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self._free(self.address)
