"""What the tests of the torch modules share: comparisons that raise, and gradients of a fixed scalar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


def flat(value: Any) -> list[Tensor]:
    """Every tensor of a nest of tuples, lists and dicts, in order."""
    if value is None:
        return []
    if isinstance(value, Tensor):
        return [value]
    return [t for part in (value.values() if isinstance(value, dict) else value) for t in flat(part)]


def check_agree(found: Any, expected: Any) -> None:
    """Raise unless two nests of tensors agree: relative to the largest entry of each, so that a zero is no trap."""
    found, expected = [t.detach() for t in flat(found)], [t.detach() for t in flat(expected)]
    assert len(found) == len(expected), f"{len(found)} tensors against {len(expected)}"
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape, f"tensor {index}: {tuple(a.shape)} against {tuple(b.shape)}"
        tolerance = TOLERANCE.get(b.dtype, 0)
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale)


@pytest.fixture
def agree() -> Callable[[Any, Any], None]:
    return check_agree


@pytest.fixture
def gradients() -> Callable[..., list[Tensor]]:
    """(outputs, inputs) -> gradients of a sum of the outputs with fixed random weights, all of them different."""

    def compute(outputs: Any, inputs: Iterable[Tensor], *, retain: bool = False) -> list[Tensor]:
        generator = torch.Generator().manual_seed(17)
        total: Any = 0
        for y in flat(outputs):
            if y.dtype.is_floating_point:
                total = total + (y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum()
        return list(torch.autograd.grad(total, list(inputs), retain_graph=retain))

    return compute


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(1234)
