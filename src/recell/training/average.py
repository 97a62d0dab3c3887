"""The running average of a module's weights over the steps of its training (Polyak and Juditsky 1992).

What a network has learnt wanders about in the last steps; the mean of where it was is nearly always better than where it stands,
and costs nothing when it is used. Decay 0.999 remembers about the last thousand steps; the first ones are forgotten faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping

import torch
from torch import Tensor, nn


class Average:
    """Exponentially decaying averages of a module's parameters; buffers are the module's own."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self.tensors = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps (from 1)."""
        rate = 1 - min(self._decay, step / (step + 9))
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                self.tensors[name].lerp_(parameter, rate)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Stand where a checkpoint stood; KeyError where it belongs to another module."""
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    def put(self) -> None:
        """Give the module the averages for good."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self.tensors[name])

    @contextlib.contextmanager
    def in_place(self) -> Generator[None]:
        """The module has the averages inside, its own weights again outside."""
        kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(kept[name])
