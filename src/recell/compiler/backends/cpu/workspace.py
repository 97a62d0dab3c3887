"""Blocks of the native workspace pool, given back when their owner goes."""

from __future__ import annotations

import weakref

from recell.compiler.backends.cpu.library import load
from recell.errors import RecellError


class Block:
    """One block; `address` is valid as long as this object lives."""

    __slots__ = ("__weakref__", "address")

    def __init__(self, size: int) -> None:
        library = load()
        pointer = library.rc_alloc(max(size, 64))
        if not pointer:
            raise RecellError(f"memory is out: a workspace of {size} bytes was wanted; use shorter sequences or smaller batches")
        self.address: int = pointer
        weakref.finalize(self, library.rc_free, pointer).atexit = False
