"""The op table's meaning in torch: one line an op, differentiable, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _maximum(a: Tensor, b: Tensor) -> Tensor:
    # torch.maximum halves the gradient at a tie; the first argument takes it here.
    return torch.where((a >= b) | torch.isnan(a), a, b)


def _minimum(a: Tensor, b: Tensor) -> Tensor:
    return torch.where((a <= b) | torch.isnan(a), a, b)


def _compare(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda a, b: function(a, b).to(torch.promote_types(a.dtype, b.dtype))


def _sum(a: Tensor) -> Tensor:
    return a.sum(-1, keepdim=a.dim() > 1)


def _mean(a: Tensor) -> Tensor:
    return a.mean(-1, keepdim=a.dim() > 1)


TORCH: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "mod": torch.remainder,
    "neg": torch.neg,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "floor": torch.floor,
    "softplus": lambda a: torch.logaddexp(a, torch.zeros_like(a)),
    "silu": torch.nn.functional.silu,
    "maximum": _maximum,
    "minimum": _minimum,
    "where": lambda a, b, c: torch.where(a != 0, b, c),
    "lt": _compare(torch.lt),
    "le": _compare(torch.le),
    "gt": _compare(torch.gt),
    "ge": _compare(torch.ge),
    "eq": _compare(torch.eq),
    "ne": _compare(torch.ne),
    "sum": _sum,
    "mean": _mean,
    "softmax": lambda a: torch.softmax(a, -1),
    "product": lambda a, b: b @ a.transpose(-1, -2),
    "matmul": torch.matmul,
    "outer_parameters": torch.outer,
    "transpose": lambda a: a.transpose(-1, -2) if a.dim() > 1 else a,
}
