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


def test_gradients_that_lie_one_after_the_other_are_not_copied(agree):
    packing = stacks_of(cell_of("LSTM"), "LSTM", 7, False, False)
    names = [p.name for p in cell_of("LSTM").parameters({"input": 7, "hidden": 7})]
    whole = torch.randn(9 * 7, 7, dtype=D)
    order = ("W_i", "W_f", "W_g", "W_o", "U_i", "U_f", "U_o", "U_g", "b_i")  # U_o and U_g are not torch's order
    parts = dict(zip(order, whole.split(7), strict=True))
    weight_ih, weight_hh = packing.collect([parts.get(name, torch.zeros(7)) for name in names])
    assert weight_ih.data_ptr() == whole.data_ptr() and not weight_ih._is_view()
    assert weight_hh.data_ptr() != parts["U_i"].data_ptr()
    agree(weight_ih, whole[:28])
    agree(weight_hh, torch.cat([parts[f"U_{gate}"] for gate in "ifgo"]))
