"""What depends on parameters alone, in NumPy: computed once a call, and differentiated back to the leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recell.compiler import coins as generator
from recell.compiler.backward import Backward
from recell.compiler.build import Coins
from recell.compiler.stash import number
from recell.graph.graph import Node
from recell.graph.ops import OPS

Array = Any


class ParameterValues:
    """Evaluates the parameter-only nodes of a graph."""

    def __init__(self, nodes: Sequence[Node], sizes: Mapping[str, int], wanted: Sequence[int]) -> None:
        self.nodes, self.sizes = nodes, sizes
        self.order = self._needed(wanted)

    def _needed(self, wanted: Sequence[int]) -> list[int]:
        stack, seen = list(wanted), set[int]()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(self.nodes[node].inputs)
        return sorted(seen)

    def evaluate(self, known: Mapping[int, Array], dtype: Any, coins: Coins | None = None) -> dict[int, Array]:
        """Node -> array; `known` holds the leaves. `coins` key what a coin on a parameter draws."""
        values = dict(known)
        for place in self.order:
            if place not in values:
                node = self.nodes[place]
                values[place] = self._coin(node, coins, dtype) if node.op == "coin" else self._compute(node, values, dtype)
        return values

    def _coin(self, node: Node, coins: Coins | None, dtype: Any) -> Array:
        """One coin an entry, the same for all rows and steps of the call."""
        assert coins is not None, "the forward step draws coins; the gradients read what it drew"
        rate, _, op_number = node.attributes
        shape = tuple(number(d, self.sizes) for d in node.shape.dims)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, op_number)
        return generator.entries(start, shape, lambda n: np.arange(n, dtype=np.int64), rate).astype(dtype)

    def _compute(self, node: Node, values: dict[int, Array], dtype: Any) -> Array:
        inputs = [values[i] for i in node.inputs]
        sizes = [number(a, self.sizes) for a in node.attributes if hasattr(a, "terms")]
        match node.op:
            case "constant":
                return np.asarray(node.attributes[0], dtype)
            case "extent":
                return np.asarray(sizes[0], dtype)
            case "rows" | "columns" | "slice":
                part = slice(sizes[0], sizes[0] + sizes[1])
                return inputs[0][:, part] if node.op == "columns" else inputs[0][part]
            case "pad_rows" | "pad_columns" | "pad":
                widths = self._padding(node, inputs[0])
                return np.pad(inputs[0], widths)
            case "splat":
                return np.broadcast_to(inputs[0], (sizes[0],))
            case "concat":
                return np.concatenate([np.atleast_1d(v) for v in inputs])
            case _:
                meaning = OPS[node.op].numpy
                assert meaning is not None, node.op
                return np.asarray(meaning(*inputs), dtype)

    def _padding(self, node: Node, value: Array) -> list[tuple[int, int]]:
        before, after = (int(sum(f * self.sizes[s] for s, f in a.terms) + a.constant) for a in node.attributes)
        return [(0, 0), (before, after)] if node.op == "pad_columns" else [(before, after)] + [(0, 0)] * (value.ndim - 1)


class ParameterGradients:
    """From the sums over rows and steps to gradients of the leaf parameters."""

    def __init__(self, derived: Backward, trainable: Sequence[bool], sizes: Mapping[str, int]) -> None:
        self.derived, self.trainable = derived, list(trainable)
        wanted = [g for g in derived.parameter_gradients if g is not None]
        self.values = ParameterValues(derived.nodes, sizes, wanted)

    def leaves(self, sums: Mapping[int, Array], values: Mapping[int, Array], shapes: Sequence[tuple[int, ...]],
               like: Array) -> tuple[Array | None, ...]:
        """`sums`: reduction node -> array; `values`: parameter values of the forward step; None where frozen."""
        parts = dict(self.derived.reductions)
        known: dict[int, Array] = {}
        for leaf, value in self.derived.gradient_leaves:
            arrays = [sums[p] for p in parts[value]]
            known[leaf] = arrays[0] if len(arrays) == 1 else sum(arrays[1:], arrays[0])
        table = self.values.evaluate({**values, **known}, like.dtype)
        result: list[Array | None] = []
        for trainable, gradient, shape in zip(self.trainable, self.derived.parameter_gradients, shapes, strict=True):
            if gradient is None:
                result.append(np.zeros(shape, like.dtype) if trainable else None)
            else:
                result.append(np.broadcast_to(table[gradient], shape) if np.shape(table[gradient]) != shape else table[gradient])
        return tuple(result)
