"""Sides that several benchmarks set against each other."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

import recell.nn as rnn
from recell import cells
from recell.bench.timing import Step

Shape = tuple[int, int, int, int]  # T, B, input, hidden
KINDS = ("LSTM", "GRU", "RNN")  # torch.nn's names
CELLS = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "Elman"}


def optional(name: str) -> Any:
    """A package, or None where it is not installed."""
    return importlib.import_module(name) if importlib.util.find_spec(name) is not None else None


def training_step(module: torch.nn.Module, x: Tensor, dy: Tensor) -> Step:
    """Forward and backward, with the gradients of x and all parameters made anew."""

    def step() -> None:
        x.grad = None
        for parameter in module.parameters():
            parameter.grad = None
        module(x)[0].backward(dy)

    return step


def inputs_of(shape: Shape) -> tuple[Tensor, Tensor]:
    """x (T, B, input), which wants a gradient, and dy (T, B, hidden)."""
    steps, batch, inputs, hidden = shape
    torch.manual_seed(0)
    return torch.randn(steps, batch, inputs, requires_grad=True), torch.randn(steps, batch, hidden)


def training_pair(kind: str, shape: Shape) -> dict[str, Step]:
    """torch.nn's module and recell's drop-in for it."""
    x, dy = inputs_of(shape)
    modules = {"torch.nn": getattr(torch.nn, kind), "recell": getattr(rnn, kind)}
    return {name: training_step(module(shape[2], shape[3]), x, dy) for name, module in modules.items()}


def training_operations(kind: str, shape: Shape) -> float:
    """Floating point operations of the products of a training step: three times those of the forward pass."""
    steps, batch, inputs, hidden = shape
    cell = cells.get(CELLS[kind])
    parameters = cell.parameters(cell.resolve(inputs, hidden, {}))
    return 6.0 * steps * batch * sum(p.shape[0] * p.shape[1] for p in parameters if len(p.shape) == 2)
