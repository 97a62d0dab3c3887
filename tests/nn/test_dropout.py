"""Dropout against its law: how often, how much, which units, and the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from recell.nn.dropout import Dropout, dropout

D = torch.float64


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.9, 0.003])
def test_a_unit_is_dropped_at_the_rate_and_what_is_kept_is_scaled(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(30, 1000, 7, dtype=D) + 3
    y = dropout(x, rate)
    kept, (scale,) = y != 0, (y / x)[y != 0].unique().round(decimals=12).unique()
    assert scale.item() == pytest.approx(1 / (1 - rate), abs=1e-4 / (1 - rate))
    assert (~kept).double().mean().item() == pytest.approx(rate, abs=4 * (rate * (1 - rate) / x.numel()) ** 0.5)
    assert (1 - (~kept).double().mean()) * scale == pytest.approx(1, abs=0.02)


def test_units_are_dropped_independently_of_their_neighbours() -> None:
    torch.manual_seed(1)
    kept = dropout(torch.ones(200_001), 0.3) != 0
    for ahead in range(1, 9):  # four coins come of one number
        both = (kept[:-ahead] & kept[ahead:]).double().mean().item()
        assert both == pytest.approx(0.49, abs=0.006)


def test_the_gradient_is_that_of_the_mask() -> None:
    torch.manual_seed(2)
    x, weights = torch.randn(9, 11, requires_grad=True), torch.randn(9, 11)
    y = dropout(x, 0.4)
    (y * weights).sum().backward()
    torch.testing.assert_close(x.grad, (y / x).detach() * weights)


def test_the_seed_decides_and_odd_sizes_draw_whole_numbers() -> None:
    for shape in ((), (1,), (5,), (0, 3), (3, 7)):
        torch.manual_seed(3)
        first, after = dropout(torch.ones(shape), 0.5), torch.rand(3)
        torch.manual_seed(3)
        assert torch.equal(first, dropout(torch.ones(shape), 0.5)) and torch.equal(after, torch.rand(3))


def test_the_ends_of_the_rate_are_exact() -> None:
    x = torch.randn(4, 5)
    assert torch.equal(dropout(x, 0.0), x) and not dropout(x, 1.0).any()


def test_the_module_is_torchs_but_for_its_coins() -> None:
    module, x = Dropout(0.25), torch.randn(50, 40)
    assert isinstance(module, nn.Dropout) and torch.equal(module.eval()(x), x)
    torch.manual_seed(4)
    y = module.train()(x)
    torch.manual_seed(4)
    assert torch.equal(y, dropout(x, 0.25)) and (y == 0).any()


def test_transforms_have_torchs_own() -> None:
    x = torch.ones(3, 100)
    torch.manual_seed(5)
    y = torch.vmap(lambda row: dropout(row, 0.5), randomness="different")(x)
    torch.manual_seed(5)
    assert torch.equal(y, torch.vmap(lambda row: functional.dropout(row, 0.5), randomness="different")(x))


def test_coins_are_drawn_where_x_is() -> None:
    x = torch.randn(30, 7)
    with torch.device("meta"):
        y = dropout(x, 0.5)
    assert y.device == x.device and set((y / x).unique().round().tolist()) == {0.0, 2.0}


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_traced_module_draws_at_each_call() -> None:
    x = torch.ones(200)
    traced = torch.jit.trace(Dropout(0.5), (x,), check_trace=False)
    assert not torch.equal(traced(x), traced(x))
