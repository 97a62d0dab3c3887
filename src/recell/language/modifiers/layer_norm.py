"""Layer normalisation of a cell's products or of its gates' sums (Ba et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from recell.errors import CellError
from recell.graph.graph import PARAMETER, Builder, Graph, ParameterInfo, Shape
from recell.graph.rewrite import copy, relocate
from recell.language.modifiers.common import free_name, parameters_of


@dataclass(frozen=True)
class LayerNorm:
    """Graph -> graph."""

    per: str
    eps: float

    def __call__(self, graph: Graph) -> Graph:
        if not any(n.op == "product" for n in graph.nodes):
            raise CellError("layer_norm normalises products of a matrix with a value of the row; came a cell without any; "
                            "write normalize(v) in the cell itself")
        return _Normalised(graph, self).run()


class _Normalised:
    """One rebuilding of a graph; gains are added as parameters."""

    def __init__(self, graph: Graph, how: LayerNorm) -> None:
        self.graph, self.how = graph, how
        self.builder = Builder()
        self.place: list[int] = []
        self.gains: list[ParameterInfo] = []
        self.sums = _Sums(graph)

    def run(self) -> Graph:
        graph = self.graph
        for old, node in enumerate(graph.nodes):
            new = copy(self.builder, node, tuple(self.place[i] for i in node.inputs))
            self.place.append(new)
            if self.how.per == "gates" and self.sums.is_gate(old):
                self.place[old] = self._gate(old)
            elif self.how.per == "product" and node.op == "product":
                self.place[old] = self._scaled(new, old)
        moved = relocate(graph, self.builder, self.place)
        return replace(moved, parameters=(*moved.parameters, *self.gains))

    def _gate(self, old: int) -> int:
        """The row's terms of a sum, normalised, times a gain; then the parameters' terms (biases)."""
        terms = self.sums.terms(old)
        row = [t for t in terms if self.graph.nodes[t[1]].shape.is_row]
        first = next(place for _, place in row if self.graph.nodes[place].op == "product")
        total = self._add(self._scaled(self._add(None, row), first), [t for t in terms if t not in row])
        return total

    def _add(self, total: int | None, terms: list[tuple[int, int]]) -> int:
        for sign, old in terms:
            new = self.place[old]
            if total is None:
                total = new if sign > 0 else self.builder.apply("neg", (new,))
            else:
                total = self.builder.apply("add" if sign > 0 else "sub", (total, new))
        assert total is not None
        return total

    def _scaled(self, value: int, product: int) -> int:
        """Normalised and times the gain that is named for the product's matrix."""
        b = self.builder
        centred = b.apply("sub", (value, b.apply("mean", (value,))))
        variance = b.apply("mean", (b.apply("mul", (centred, centred)),))
        deviation = b.apply("sqrt", (b.apply("add", (variance, b.constant(self.how.eps))),))
        normal = b.apply("div", (centred, deviation))
        return b.apply("mul", (normal, self._gain(product)))

    def _gain(self, product: int) -> int:
        node = self.graph.nodes[product]
        parameters = self.graph.parameters
        names = {p.node: p.name for p in parameters}
        matrix = "_".join(names[leaf] for leaf in parameters_of(self.graph, node.inputs[0]))
        name = free_name(f"{matrix}_gain", [p.name for p in (*parameters, *self.gains)])
        shape = Shape(PARAMETER, node.shape.dims)
        leaf = self.builder.leaf("parameter", (len(parameters) + len(self.gains),), shape)
        self.gains.append(ParameterInfo(name, leaf, shape, init=1.0))
        return leaf


class _Sums:
    """Which sums of a graph are gates: maximal ones with a product among their terms."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[int, list[int]] = {}
        for place, node in enumerate(graph.nodes):
            for i in node.inputs:
                self.readers.setdefault(i, []).append(place)
        self.pinned = {*graph.output, *(s.after for s in graph.states)}

    def _is_sum(self, place: int) -> bool:
        return self.graph.nodes[place].op in ("add", "sub")

    def _is_term(self, place: int) -> bool:
        """Read by one sum alone."""
        readers = self.readers.get(place, [])
        return place not in self.pinned and len(readers) == 1 and self._is_sum(readers[0])

    def _is_factor(self, place: int) -> bool:
        """Read by products alone, as the inner product of `W1 @ (W2 @ x)` is: no gate."""
        readers = self.readers.get(place, [])
        return place not in self.pinned and all(self.graph.nodes[r].op == "product" for r in readers)

    def is_gate(self, place: int) -> bool:
        if self._is_term(place) or self._is_factor(place):
            return False
        return any(self.graph.nodes[term].op == "product" for _, term in self.terms(place))

    def terms(self, place: int, sign: int = 1, *, inner: bool = False) -> list[tuple[int, int]]:
        """(sign, node) of the terms, left to right; a sum that others read too is one term."""
        if not self._is_sum(place) or (inner and not self._is_term(place)):
            return [(sign, place)]
        left, right = self.graph.nodes[place].inputs
        other = -sign if self.graph.nodes[place].op == "sub" else sign
        return [*self.terms(left, sign, inner=True), *self.terms(right, other, inner=True)]


def layer_norm(per: str = "product", eps: float = 1e-5) -> LayerNorm:
    """Layer normalisation: each vector less its mean, divided by sqrt(variance + eps), times a gain (Ba et al. 2016).

    per="product": each product of a matrix with a value of the row, as the author wrote it (a packed product whole).
    per="gates": each pre-activation, that is, each largest sum with a product among its terms: its terms of the row are
    normalised together, biases are added after the gain, as in Ba et al.'s f(gain * normal(W x + U h) + b). A sum that
    two equations read is normalised once; the inner product of `W1 @ (W2 @ x)` is no gate.

    Gains are vector parameters that start at 1, named for the matrix of the product, or of the gate's first product:
    `W_i_gain`; `W1_W2_gain` for a matrix made of two, `W_gain_2` where a name is taken. Raises CellError for another
    `per`, an eps that is not positive, and when applied to a cell without a product.

    >>> layer_norm(per="gates")
    LayerNorm(per='gates', eps=1e-05)
    """
    if per not in ("product", "gates"):
        raise CellError(f"per must be 'product' or 'gates'; came {per!r}; write layer_norm(per='gates')")
    return LayerNorm(per, _positive(eps))


def _positive(eps: Any) -> float:
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 < eps < 1:
        raise CellError(f"eps must be a small positive number; came {eps!r}; write layer_norm(eps=1e-5)")
    return float(eps)
