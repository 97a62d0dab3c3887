"""One vector of a sequence of outputs: the last of them, their mean, their highest values, or a weighted mean (attention)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

POOLINGS = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    """`forward` turns outputs (T, N, width) of rows of some `lengths` (N,) into (N, width).

    "last" takes what each direction put out when it had read all: the forward half at the last step, the backward half at the
    first. "attention" weighs step t by softmax over t of v . tanh(W y_t + b) (Bahdanau et al. 2015, additive, without a query).
    """

    def __init__(self, kind: str, width: int, directions: int) -> None:
        super().__init__()
        self.kind, self._directions = kind, directions
        self.energy = None
        if kind == "attention":
            self.energy = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, y: Tensor, lengths: Tensor) -> Tensor:
        """(N, width)."""
        if self.kind == "last":
            return _last(y, lengths, self._directions)
        if self.kind == "attention":
            return (self.weights(y, lengths)[:, :, None] * y).sum(0)
        inside = _inside(y, lengths)[:, :, None]
        if self.kind == "max":
            return highest(y, lengths)
        return y.masked_fill(~inside, 0).sum(0) / lengths[:, None].to(y)

    def weights(self, y: Tensor, lengths: Tensor) -> Tensor:
        """How much each step counts, (T, N); 1 in sum over a row's steps, 0 behind its end."""
        assert self.energy is not None
        return self.energy(y)[:, :, 0].masked_fill(~_inside(y, lengths), -torch.inf).softmax(0)


def highest(y: Tensor, lengths: Tensor) -> Tensor:
    """The highest value of each unit over a row's steps, (N, width). Of steps with one value the first has the gradient."""
    if y.device.type != "cpu" or (lengths < len(y)).any():
        beyond = torch.where(_inside(y, lengths), 0.0, -torch.inf).to(y)
        y = y + beyond[:, :, None]  # half of a masked_fill's time, and its gradient is free
    return cast(Tensor, _Highest.apply(y)) if y.device.type == "cpu" else y.max(0).values


class _Highest(torch.autograd.Function):
    """`y.max(0).values` for the CPU, where torch finds each value with its place, one by one: places are for backward alone."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        """The maxima, vector by vector."""
        found = y.amax(0)
        ctx.save_for_backward(y, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients, each where its unit's maximum stood first."""
        y, found = ctx.saved_tensors
        there = torch.eq(y, found, out=torch.empty_like(y))  # as numbers, which torch multiplies faster than it masks
        if there.sum() != found.numel():
            there *= there.cumsum(0) == 1
        return there.mul_(gradients[0])


def _inside(y: Tensor, lengths: Tensor) -> Tensor:
    """(T, N): whether a step is a row's own."""
    return torch.arange(len(y), device=y.device)[:, None] < lengths


def _last(y: Tensor, lengths: Tensor, directions: int) -> Tensor:
    last = y[lengths - 1, torch.arange(y.shape[1], device=y.device)]
    if directions == 1:
        return last
    half = y.shape[2] // 2
    return torch.cat([last[:, :half], y[0, :, half:]], 1)
