"""torch's stacks hold the cell's parameters: unpacking and collecting gradients are each other's transpose."""

from __future__ import annotations

import pytest
import torch

from recell.nn.stacks import GATES, cell_of, stacks_of, stored_names, stored_shapes

D = torch.float64


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode, projection", [*((mode, 0) for mode in GATES), ("LSTM", 3)])
def test_collect_is_the_derivative_of_unpack(mode, projection, bias, agree):
    packing = stacks_of(cell_of(mode, projection > 0), mode, 7, bias, projection > 0)
    stored = [torch.randn(shape, dtype=D, requires_grad=True) for shape in stored_shapes(mode, 5, 7, bias, projection)]
    assert len(stored) == len(stored_names(bias, projection > 0))
    parameters = packing.unpack(stored)
    assert all(p.is_contiguous() for p in parameters)
    weights = [torch.randn_like(p) for p in parameters]
    expected = torch.autograd.grad(sum((p * w).sum() for p, w in zip(parameters, weights, strict=True)), stored)
    agree(packing.collect(weights), expected)
