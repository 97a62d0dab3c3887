"""Arithmetic that one native instruction computes in one pass over the tile: two ops, or a gate's adjoint times its slope."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from recell.graph.graph import Node

FUSED_OPS = ("add", "sub", "mul")  # the native machine has every pair of them as one instruction


@dataclass(frozen=True)
class Fusion:
    """An instruction on nodes in place of a node's own; `absorbed` are the nodes that it computes on the way."""

    op: str
    operands: tuple[int, ...]
    absorbed: tuple[int, ...]


class Fusions:
    """The fusions of one stage. An absorbed node is read by its absorber alone and lies nowhere else."""

    def __init__(self, nodes: Sequence[Node], points: Iterable[int], readers: Mapping[int, list[int]],
                 placed: Container[int]) -> None:
        self.nodes, self.points, self.readers, self.placed = nodes, tuple(points), readers, placed
        self.inside = set(self.points)
        self.absorbed: set[int] = set()
        self.of: dict[int, Fusion] = {}
        for find in (self._with_slope, self._summed, self._pair):
            for node in self.points:
                found = None if node in self.of or node in self.absorbed else find(node)
                if found is not None:
                    self.of[node] = found
                    self.absorbed.update(found.absorbed)

    def _is_free(self, inner: int, node: int, ops: Sequence[str] = FUSED_OPS) -> bool:
        """Arithmetic that `node` alone reads."""
        n = self.nodes[inner]
        alone = self.readers.get(inner) == [node] and inner not in self.placed
        fits = inner in self.inside and n.op in ops and n.shape == self.nodes[node].shape
        return alone and fits and inner not in self.of and inner not in self.absorbed

    def _pair(self, node: int) -> Fusion | None:
        """inner_outer of three operands; `rsub` takes the inner result from the third."""
        n = self.nodes[node]
        inner = next((i for i in n.inputs if self._is_free(i, node)), None) if n.op in FUSED_OPS else None
        if inner is None:
            return None
        first = n.inputs[0] == inner
        outer = "rsub" if n.op == "sub" and not first else n.op
        operands = (*self.nodes[inner].inputs, n.inputs[1] if first else n.inputs[0])
        return Fusion(f"{self.nodes[inner].op}_{outer}", operands, (inner,))

    def _summed(self, node: int) -> Fusion | None:
        """The sum over the batch of a product that nobody else reads."""
        n = self.nodes[node]
        if n.op != "batch_sum":
            return None
        (inner,) = n.inputs
        alone = self.readers.get(inner) == [node] and inner not in self.placed and inner in self.inside
        factors = sorted(self.nodes[inner].inputs, key=lambda i: self.nodes[i].op == "constant")
        if not alone or self.nodes[inner].op != "mul" or inner in self.of or inner in self.absorbed:
            return None
        return Fusion("accumulate_mul", tuple(factors), (inner,))

    def _with_slope(self, node: int) -> Fusion | None:
        """What a derivative multiplies by y (1 - y) or 1 - y y; that factor may be a product itself. A sum keeps its own pair."""
        n = self.nodes[node]
        for factor, slope in (n.inputs, n.inputs[::-1]) if n.op == "mul" else ():
            found = self._slope(slope) if self._is_free(slope, node) else None
            if found is None:
                continue
            name, y, inner = found
            if self._is_free(factor, node, ("add", "sub")):
                return None
            if factor != slope and self._is_free(factor, node, ("mul",)):
                return Fusion(f"mul_mul_{name}", (*self.nodes[factor].inputs, y), (factor, slope, inner))
            return Fusion(f"mul_{name}", (factor, y), (slope, inner))
        return None

    def _slope(self, node: int) -> tuple[str, int, int] | None:
        """(name, y, inner node) of a sigmoid's or a tanh's slope, written with its value y."""
        n = self.nodes[node]
        a, b = n.inputs
        if n.op == "mul":
            for y, rest in ((a, b), (b, a)):
                if y != rest and self._is_free(rest, node, ("sub",)) and self._is_one_less(rest, y):
                    return "sigmoid_slope", y, rest
        if n.op == "sub" and self._is_one(a) and self._is_free(b, node, ("mul",)):
            left, right = self.nodes[b].inputs
            return ("tanh_slope", left, b) if left == right else None
        return None

    def _is_one(self, node: int) -> bool:
        return self.nodes[node].op == "constant" and self.nodes[node].attributes[0] == 1.0

    def _is_one_less(self, node: int, y: int) -> bool:
        one, taken = self.nodes[node].inputs
        return self._is_one(one) and taken == y
