"""The first layer on tokens: its input products are rows of a table, gathered, and no product of x is left to compute.

With an embedding E (V, e) and the input matrices W (units, e), the product of a token's vector is a row of E W^T. The table
costs V rows of a product instead of T N, and its gradient, summed by token, carries those of E and W.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from recell.language.projected import project_input
from recell.nn.bridge import Runner
from recell.nn.calls import Streams, Way

# Measured on a Zen 4 with AVX-512 (LSTM of 256 units, 3,200 tokens of 100 symbols): writing and reading the gathered rows costs
# as much as the products of an input of about 50, and a table of half as many rows as there are tokens costs half of these.
WORTH_WIDTH, WORTH_SHARE = 64, 2


class Projection:
    """A layer's cell without its input products, and the table that stands for them."""

    def __init__(self, runner: Runner, products: Sequence[int], kept: Sequence[int]) -> None:
        self.runner, self._products, self._kept = runner, tuple(products), tuple(kept)
        self.width = runner.sizes["input"]

    def table(self, layer: Runner, stored: Sequence[Tensor], embedding: Tensor | None) -> Tensor:
        """(V, width): the input products of every symbol, from the layer's stored parameters; None: symbols are one-hot."""
        parameters = layer.packing.unpack(stored)
        matrix = torch.cat([parameters[i] for i in self._products])
        return matrix.t() if embedding is None else embedding @ matrix.t()

    def run(self, layer: Runner, x: Tensor, way: Way, streams: Streams) -> tuple[Tensor, Sequence[Tensor]]:
        """As the layer's own runner; x (T, N, directions * width)."""
        parameters = layer.packing.unpack(way.stored)
        own = x[..., way.place.direction * self.width : (way.place.direction + 1) * self.width]
        return self.runner(own, way.states, [parameters[i] for i in self._kept], streams, way.place)


def projection_of(runner: Runner, hidden_size: int) -> Projection | None:
    """The projection of a layer, or None where the cell reads x in another way than by products of its parameters."""
    found = project_input(runner.cell)
    if found is None:
        return None
    forced = found.cell.graph.forced_input
    assert forced is not None
    others = {name: size for name, size in runner.sizes.items() if name not in ("input", "hidden") and name in found.cell.symbols}
    sizes = found.cell.resolve(forced.evaluate(runner.sizes), hidden_size, others)
    return Projection(Runner(found.cell, sizes, runner.backend, recompute=runner.recompute), found.products, found.kept)


def is_worth_a_table(symbols: int, tokens: int, width: int) -> bool:
    """Whether gathering input products is faster than computing them from `width` numbers a token."""
    return width >= WORTH_WIDTH and symbols * WORTH_SHARE <= tokens


def gather(table: Tensor, tokens: Tensor) -> Tensor:
    """The rows of a table (V, width) that tokens (...) name."""
    return functional.embedding(tokens, table)

