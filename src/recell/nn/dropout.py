"""Dropout whose coins are cheap on the CPU: four of 16 bits out of every number that torch's generator draws.

torch draws a number for each coin, one after the other: for a network of some hundred units that takes longer than its products.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recell.nn.tensors import KERNEL_DTYPES, is_watched

_SIDES = 1 << 16  # of a coin


def dropout(x: Tensor, rate: float) -> Tensor:
    """x with each unit dropped at the probability `rate`, what is kept scaled so that the mean stays (Srivastava et al. 2014).

    On the CPU the rate is the nearest multiple of 2**-16, and the scale is that rate's. Other devices, functorch transforms and
    `torch.jit.trace`, which would keep the coins of its one call, have torch's own dropout.
    """
    dropped = round(rate * _SIDES)
    if not 0 < dropped < _SIDES or x.device.type != "cpu" or _is_transformed():
        return functional.dropout(x, rate)
    drawn = torch.randint(-(2**63), 2**63 - 1, ((x.numel() + 3) // 4,), device=x.device)
    return x * _kept(drawn, x, dropped - _SIDES // 2, _SIDES / (_SIDES - dropped))


def _kept(drawn: Tensor, x: Tensor, lowest: int, scale: float) -> Tensor:
    """`scale` for every unit of x whose coin is not below `lowest`, and 0 for the others."""
    if torch.compiler.is_compiling() or x.dtype not in KERNEL_DTYPES or is_watched(x, drawn):
        coins = drawn.view(torch.int16)[: x.numel()].view(x.shape)
        return (coins >= lowest).to(x.dtype).mul_(scale)
    # NumPy's two passes in place of torch's three, each of which would wake all threads.
    number = np.dtype(np.float32 if x.dtype == torch.float32 else np.float64)
    coins = drawn.numpy().view(np.int16)[: x.numel()]
    return torch.from_numpy(np.multiply(coins >= lowest, number.type(scale), dtype=number)).view(x.shape)


def _is_transformed() -> bool:
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


class Dropout(nn.Dropout):
    """torch.nn.Dropout by `dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """The input, in training with units dropped."""
        return dropout(input, self.p) if self.training else input
