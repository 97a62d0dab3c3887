"""Back-propagation through time, derived: the backward step is another step, whose states are adjoints.

The forward nodes come first, at their own places; adjoint nodes follow. What a gradient reads of the forward step stays
a mention of the forward node: the plan decides later what of it is stashed and what is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

from recell.compiler.circles import computed, handed_round
from recell.graph.graph import Builder, Graph, Node, Shape
from recell.graph.ops import OPS
from recell.graph.size import Size


@dataclass(frozen=True)
class Backward:
    """The joint graph. `nodes[:forward_count]` are the forward step's."""

    nodes: tuple[Node, ...]
    forward_count: int
    output_adjoints: tuple[int, ...]  # leaves: dL/dy of each part of the output
    state_adjoints: tuple[tuple[int, int, int], ...]  # (state, leaf: dL/d(after), node: dL/d(before)); time has none
    input_gradient: int | None
    reductions: tuple[tuple[int, tuple[int, ...]], ...]  # forward parameter value -> outer / batch_sum nodes to add up
    parameter_gradients: tuple[int | None, ...]  # per leaf parameter: a node over `gradient` leaves; None where frozen
    gradient_leaves: tuple[tuple[int, int], ...]  # (leaf, parameter value): the summed reductions of that value


def derive(graph: Graph, *, input_gradient: bool) -> Backward:
    """The backward step of a prepared step graph."""
    return _Derivation(graph, input_gradient).run()


class _Derivation:
    def __init__(self, graph: Graph, input_gradient: bool) -> None:
        self.graph = graph
        self.wants_input = input_gradient
        self.builder = Builder(graph.nodes, simplify=True)
        self.adjoints: dict[int, int] = {}
        self.reductions: dict[int, list[int]] = {}
        self.needed = self._needed()

    def _needed(self) -> set[int]:
        """Nodes through which a gradient flows to something that wants one."""
        wanted: set[int] = set()
        for place, node in enumerate(self.graph.nodes):
            if node.op == "parameter":
                useful = self.graph.parameters[node.attributes[0]].trainable
            elif node.op == "state":
                useful = bool(node.shape.dims)  # time is a number per row and carries no gradient
            elif node.op == "input":
                useful = self.wants_input
            elif node.op == "coin":
                useful = False  # it reads a shape alone
            else:
                useful = any(i in wanted for i in node.inputs)
            if useful:
                wanted.add(place)
        return wanted

    def run(self) -> Backward:
        graph, b = self.graph, self.builder
        outputs = []
        for k, node in enumerate(graph.output):
            leaf = b.leaf("adjoint", ("output", k), graph.nodes[node].shape)
            outputs.append(leaf)
            self._add(node, leaf)
        state_leaves: dict[int, int] = {}
        for i, state in enumerate(graph.states):
            if state.size is not None:
                state_leaves[i] = b.leaf("adjoint", ("state", i), graph.nodes[state.after].shape)
                self._add(state.after, state_leaves[i])
        for place in reversed(range(len(graph.nodes))):
            if graph.nodes[place].shape.is_row and place in self.adjoints:
                self._pull(place)
        zero = b.constant(0.0)
        befores = {i: self._row(self.adjoints.get(graph.states[i].before, zero), leaf) for i, leaf in state_leaves.items()}
        circle = handed_round((leaf, befores[i]) for i, leaf in state_leaves.items())
        states = tuple((i, leaf, computed(b, befores[i]) if leaf in circle else befores[i]) for i, leaf in state_leaves.items())
        x = next((p for p, n in enumerate(graph.nodes) if n.op == "input"), None)
        dx = None
        if self.wants_input and x is not None:
            dx = self._row(self.adjoints.get(x, zero), x)
        gradients, leaves = self._parameter_gradients()
        return Backward(tuple(b.nodes), len(graph.nodes), tuple(outputs), states, dx,
                        tuple((value, tuple(parts)) for value, parts in self.reductions.items()), gradients, leaves)

    def _row(self, node: int, like: int) -> int:
        """A constant adjoint (nothing flows) as a value of the row."""
        if self.builder.shape(node).is_row:
            return node
        leaf = self.builder._append("mul", (like, node), (), self.builder.shape(like))  # pyright: ignore[reportPrivateUsage]
        return leaf

    def _add(self, node: int, part: int) -> None:
        if node in self.adjoints:
            part = self.builder.apply("add", (self.adjoints[node], part))
        self.adjoints[node] = part

    def _pull(self, place: int) -> None:
        node, g = self.graph.nodes[place], self.adjoints[place]
        for i, part in zip(node.inputs, shares(self.builder, node, place, g, self.needed), strict=True):
            if part is None or i not in self.needed or self.builder.value_of(part) == 0.0:
                continue
            if self.graph.nodes[i].shape.is_row:
                self._add(i, _over_units(self.builder, part, self.builder.shape(i)))
            else:
                self._reduce(i, part)

    def _reduce(self, value: int, part: int) -> None:
        b = self.builder
        if b.nodes[part].op != "outer":
            part = b.apply("batch_sum", (_over_units(b, part, b.shape(value)),))
        self.reductions.setdefault(value, []).append(part)

    def _parameter_gradients(self) -> tuple[tuple[int | None, ...], tuple[tuple[int, int], ...]]:
        """The epilogue: from gradients of parameter values that the step reads to those of the leaves."""
        b, graph = self.builder, self.graph
        adjoints: dict[int, int] = {}
        leaves = []
        for value in self.reductions:
            leaf = b.leaf("adjoint", ("value", value), graph.nodes[value].shape)
            leaves.append((leaf, value))
            adjoints[value] = leaf
        for place in reversed(range(len(graph.nodes))):
            node = graph.nodes[place]
            if node.shape.is_row or place not in adjoints or OPS[node.op].kind == "leaf":
                continue
            for i, part in zip(node.inputs, shares(b, node, place, adjoints[place], self.needed), strict=True):
                if part is not None and i in self.needed:
                    part = _over_units(b, part, b.shape(i))
                    adjoints[i] = b.apply("add", (adjoints[i], part)) if i in adjoints else part
        return tuple(adjoints.get(p.node) if p.trainable else None for p in graph.parameters), tuple(leaves)


def shares(b: Builder, node: Node, place: int, g: int, needed: set[int]) -> list[int | None]:
    """The adjoint's share of each input of a node, by its row of the op table."""
    match node.op:
        case "concat":
            return _concat_shares(b, node, g)
        case "slice":
            start, size = node.attributes
            rest = b.shape(node.inputs[0]).dims[0] - start - size
            return [b.apply("pad", (g,), (start, rest))]
        case "pad":
            return [b.apply("slice", (g,), (node.attributes[0], b.shape(node.inputs[0]).dims[0]))]
        case "splat":
            return [b.apply("sum", (g,))]
        case "rows" | "columns":
            axis = 0 if node.op == "rows" else 1
            start, size = node.attributes
            rest = b.shape(node.inputs[0]).dims[axis] - start - size
            return [b.apply(f"pad_{node.op}", (g,), (start, rest))]
        case _:
            names = dict(zip("abc", node.inputs, strict=False)) | {"y": place, "g": g}
            table = {name: Term(b, value) for name, value in names.items()}
            texts = OPS[node.op].derivative
            return [None if text is None or i not in needed else _evaluate(text, table, b)
                    for text, i in zip(texts, node.inputs, strict=True)]


def _concat_shares(b: Builder, node: Node, g: int) -> list[int | None]:
    parts: list[int | None] = []
    start = Size()
    for i in node.inputs:
        dims = b.shape(i).dims
        size = dims[0] if dims else Size.number(1)
        part = b.apply("slice", (g,), (start, size))
        parts.append(part if dims else b.apply("sum", (part,)))
        start = start + size
    return parts


def _over_units(b: Builder, part: int, shape: Shape) -> int:
    """Undoes broadcasting of a number over the units of a vector."""
    own = b.shape(part)
    if own.dims and not shape.dims:
        if own.is_matrix:
            part = b.apply("sum", (part,))
        return b.apply("sum", (part,)) if b.shape(part).dims else part
    return part


@dataclass(frozen=True)
class Term:
    """A node in a derivative's text: operators build nodes."""

    builder: Builder
    node: int

    def _apply(self, name: str, *operands: Any) -> Term:
        return Term(self.builder, self.builder.apply(name, tuple(_node(self.builder, o) for o in operands)))

    def __add__(self, other: Any) -> Term:
        return self._apply("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return self._apply("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return self._apply("sub", self, other)

    def __rsub__(self, other: Any) -> Term:
        return self._apply("sub", other, self)

    def __mul__(self, other: Any) -> Term:
        return self._apply("mul", self, other)

    def __rmul__(self, other: Any) -> Term:
        return self._apply("mul", other, self)

    def __truediv__(self, other: Any) -> Term:
        return self._apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Term:
        return self._apply("div", other, self)

    def __neg__(self) -> Term:
        return self._apply("neg", self)

    def __matmul__(self, other: Term) -> Term:
        b = self.builder
        right = b.shape(other.node)
        if right.is_row:
            return self._apply("product", self, other)
        if len(b.shape(self.node).dims) == 1 and len(right.dims) == 1:
            return self._apply("outer_parameters", self, other)
        return self._apply("matmul", self, other)

    def __gt__(self, other: Any) -> Term:
        return self._apply("gt", self, other)

    def __lt__(self, other: Any) -> Term:
        return self._apply("lt", self, other)

    def __ge__(self, other: Any) -> Term:
        return self._apply("ge", self, other)

    def __le__(self, other: Any) -> Term:
        return self._apply("le", self, other)


def _node(builder: Builder, operand: Any) -> int:
    return operand.node if isinstance(operand, Term) else builder.constant(float(operand))


@cache
def _code(text: str) -> CodeType:
    return compile(text, "<op table>", "eval")


def _evaluate(text: str, names: dict[str, Term], b: Builder) -> int:
    """Builds the nodes of a derivative's text. The text is a row of our own table, never anybody else's."""
    environment: dict[str, Any] = {"__builtins__": {}, **_functions(), "splat": _splat, "extent": _extent, **names}
    result = eval(_code(text), environment)  # noqa: S307
    return _node(b, result)


def _splat(g: Term, like: Term) -> Term:
    b = g.builder
    return Term(b, b.apply("splat", (g.node,), (b.shape(like.node).dims[0],)))


def _extent(a: Term) -> Term:
    return Term(a.builder, a.builder.leaf("extent", (a.builder.shape(a.node).dims[0],), Shape("parameter")))


@cache
def _functions() -> dict[str, Any]:
    def make(name: str) -> Any:
        def function(first: Any, *rest: Any) -> Term:
            builder = next(o.builder for o in (first, *rest) if isinstance(o, Term))
            return Term(builder, builder.apply(name, tuple(_node(builder, o) for o in (first, *rest))))

        return function

    return {name: make(name) for name, row in OPS.items() if row.kind != "leaf" and row.infix is None}
