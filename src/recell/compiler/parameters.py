"""What depends on parameters alone, in NumPy: computed once a call, and differentiated back to the leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from recell.compiler import coins as generator
from recell.compiler.backward import Backward
from recell.compiler.build import Coins
from recell.graph.graph import Node
from recell.graph.ops import OPS
from recell.graph.size import Size

Array = Any
_PADS = ("pad", "pad_rows", "pad_columns")


class Piece(NamedTuple):
    """A value and where it lies in a larger one."""

    value: int
    where: tuple[slice, ...]


class ParameterValues:
    """Evaluates the parameter-only nodes of a graph."""

    def __init__(self, nodes: Sequence[Node], sizes: Mapping[str, int], wanted: Sequence[int]) -> None:
        self.nodes, self.sizes = nodes, sizes
        self.joined: dict[int, list[Piece]] = {}  # values put together from parts that lie in a matrix or vector of zeros
        self.order = self._needed(wanted)
        self.numbers = {place: self._numbers(nodes[place]) for place in self.order}

    def _needed(self, wanted: Sequence[int]) -> list[int]:
        stack, seen = list(wanted), set[int]()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                pieces = self._pieces(node)
                if pieces is not None:
                    self.joined[node] = pieces
                stack.extend(self.nodes[node].inputs if pieces is None else (piece.value for piece in pieces))
        return sorted(seen)

    def _numbers(self, node: Node) -> tuple[int, ...]:
        return tuple(a.evaluate(self.sizes, least=0) for a in node.attributes if isinstance(a, Size))

    def _pieces(self, place: int) -> list[Piece] | None:
        """The parts of a padded value, or of a sum of such; None for any other."""
        node = self.nodes[place]
        if node.op == "add":
            left, right = (self._pieces(i) for i in node.inputs)
            return None if left is None or right is None else left + right
        if node.op not in _PADS:
            return None
        starts = [0] * len(node.shape.dims)
        while self.nodes[place].op in _PADS:
            starts[self.nodes[place].op == "pad_columns"] += self._numbers(self.nodes[place])[0]
            (place,) = self.nodes[place].inputs
        inner = tuple(d.evaluate(self.sizes) for d in self.nodes[place].shape.dims) or (1,)
        return [Piece(place, tuple(slice(start, start + size) for start, size in zip(starts, inner, strict=True)))]

    def evaluate(self, known: Mapping[int, Array], dtype: Any, coins: Coins | None = None) -> dict[int, Array]:
        """Node -> array; `known` holds the leaves. `coins` key what a coin on a parameter draws."""
        values = dict(known)
        for place in self.order:
            if place not in values:
                node = self.nodes[place]
                if place in self.joined:
                    values[place] = self._join(place, values, dtype)
                else:
                    values[place] = self._coin(node, coins, dtype) if node.op == "coin" else self._compute(place, values, dtype)
        return values

    def _join(self, place: int, values: Mapping[int, Array], dtype: Any) -> Array:
        whole = np.zeros([d.evaluate(self.sizes) for d in self.nodes[place].shape.dims], dtype)
        for piece in self.joined[place]:
            whole[piece.where] += values[piece.value]
        return whole

    def _coin(self, node: Node, coins: Coins | None, dtype: Any) -> Array:
        """One coin an entry, the same for all rows and steps of the call."""
        assert coins is not None, "the forward step draws coins; the gradients read what it drew"
        rate, _, op_number = node.attributes
        shape = tuple(d.evaluate(self.sizes) for d in node.shape.dims)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, op_number)
        return generator.entries(start, shape, lambda n: np.arange(n, dtype=np.int64), rate).astype(dtype)

    def _compute(self, place: int, values: dict[int, Array], dtype: Any) -> Array:
        node, numbers = self.nodes[place], self.numbers[place]
        inputs = [values[i] for i in node.inputs]
        match node.op:
            case "constant":
                return np.asarray(node.attributes[0], dtype)
            case "extent":
                return np.asarray(numbers[0], dtype)
            case "rows" | "columns" | "slice":
                part = slice(numbers[0], numbers[0] + numbers[1])
                return inputs[0][:, part] if node.op == "columns" else inputs[0][part]
            case "splat":
                return np.full(numbers[0], inputs[0], dtype)
            case "concat":
                return np.concatenate([np.atleast_1d(v) for v in inputs])
            case _:
                meaning = OPS[node.op].numpy
                assert meaning is not None, node.op
                return np.asarray(meaning(*inputs), dtype)


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
