"""How a module stores what its cell calls parameters: as the cell has them, or otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Packing(Protocol):
    """How the tensors that a module stores hold the cell's parameters."""

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The cell's parameters, in the cell's order; differentiable."""
        ...

    def collect(self, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The gradients of the stored tensors from those of the cell's parameters."""
        ...

    def parts(self, stored: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """For each of the cell's parameters the tensors to write to: their sum is the parameter. Nothing where none is stored."""
        ...


class AsWritten:
    """One stored tensor for each of the cell's parameters."""

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The stored tensors themselves."""
        return tuple(stored)

    def collect(self, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The gradients themselves."""
        return tuple(gradients)

    def parts(self, stored: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """The stored tensors themselves."""
        return tuple((tensor,) for tensor in stored)
