"""What acts between layers: dropout of a layer's input, residual and highway connections around a layer.

The same functions serve `Recurrent`, whose layers are of one cell, and `Stack`, whose layers may be of any.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recell.errors import DataError, ShapeError, message
from recell.nn.dropout import dropout
from recell.nn.init import uniform_fan_in_

GATE = ("W_highway", "b_highway")  # a highway's parameters, (width, width) and (width,), for each layer that has one
HIGHWAY_BIAS = -1.0  # the gate starts at 0.27: a layer carries more of its input than it changes (Srivastava et al. 2015)


def drop(x: Tensor, rate: float, *, variational: bool, order: Tensor | None = None) -> Tensor:
    """Dropout of x (T, N, size), what is kept scaled by 1 / (1 - rate): an own coin at each step, or one for all steps.

    `order` (N,) says which of the user's rows stands where: with one mask for all steps, a row's own mask goes with it.
    """
    if not rate:
        return x
    if not variational:
        return dropout(x, rate)
    mask = dropout(x.new_ones(1, *x.shape[1:]), rate)
    return x * (mask if order is None else mask.index_select(1, order))


def drop_symbols(products: Tensor, tokens: Tensor, symbols: int, rate: float, *, variational: bool,
                 order: Tensor | None = None) -> Tensor:
    """`drop` for one-hot tokens (T, N) whose input products (T, N, width) are given: a token's one unit is kept or not.

    With one mask for all steps, a symbol that is dropped in a row is dropped wherever it stands in the row.
    """
    if not rate:
        return products
    if not variational:
        return products * dropout(products.new_ones(*products.shape[:2], 1), rate)
    mask = dropout(products.new_ones(products.shape[1], symbols), rate)
    mask = mask if order is None else mask.index_select(0, order)
    return products * mask.gather(1, tokens.long().t()).t().unsqueeze(-1)


def highway(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """t * y + (1 - t) * x with the gate t = sigmoid(W x + b) (Srivastava, Greff and Schmidhuber 2015).

    Around a recurrent layer as in Zhang et al. 2016 and Zilly et al. 2017; x is the layer's input, y its output.
    """
    gate = torch.sigmoid(functional.linear(x, weight, bias))
    return x + gate * (y - x)


def make_gate(module: nn.Module, suffix: str, width: int, device: Any, dtype: Any) -> None:
    """Register a highway's parameters, `W_highway_l1` and `b_highway_l1`; `fill_gate` gives them their values."""
    for name, shape in zip(GATE, ((width, width), (width,)), strict=True):
        module.register_parameter(f"{name}_{suffix}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
    fill_gate(module, suffix)


def fill_gate(module: nn.Module, suffix: str) -> None:
    """W uniform in +-1/sqrt(width), b at HIGHWAY_BIAS."""
    weight, bias = gate_of(module, suffix)
    uniform_fan_in_(weight)
    with torch.no_grad():
        bias.fill_(HIGHWAY_BIAS)


def gate_of(module: nn.Module, suffix: str) -> tuple[Tensor, Tensor]:
    """A highway's weight and bias, as they are now."""
    return getattr(module, f"{GATE[0]}_{suffix}"), getattr(module, f"{GATE[1]}_{suffix}")


def check_between(*, layers: int, residual: bool, highway: bool, one_output: bool, rates: dict[str, Any],
                  unit: str = "layer") -> None:
    """DataError for connections that exclude each other or have nothing to connect, and for a rate that is no probability."""
    for name, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise DataError(f"{name} is {rate!r}; give a probability from 0 to 1")
    check_connections(layers=layers, residual=residual, highway=highway, unit=unit)
    if (residual or highway) and not one_output:
        raise DataError(f"{'residual' if residual else 'highway'}=True needs one output; "
                        "write merge=\"concat\", \"sum\", \"mul\" or \"ave\"")


def check_connections(*, layers: int, residual: bool, highway: bool, unit: str = "layer") -> None:
    """DataError for two connections, which exclude each other, and for one around a lone layer, where it would do nothing."""
    if residual and highway:
        raise DataError(message("residual and highway both carry a layer's input past it", came="residual=True and highway=True",
                                write="one of them"))
    if (residual or highway) and layers == 1:
        name = "residual" if residual else "highway"
        raise DataError(message(f"{name} carries a {unit}'s input past it from the second {unit} on",
                                came=f"{name}=True and one {unit}", write=f"two {unit}s or more, or {name}=False"))


def check_carried(layer: int, taken: int, given: int, *, residual: bool) -> None:
    """ShapeError where a layer's input, which is added to its output, is not as wide."""
    if taken != given:
        raise ShapeError(f"{'residual' if residual else 'highway'}=True adds a layer's input to its output; layer {layer} takes "
                         f"{taken} and gives {given}; write layers of one size, or residual=False and highway=False")
