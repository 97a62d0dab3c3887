"""Graph-to-graph rewrites: what a mask, a reset and evaluation mean, and where a plan splits vectors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from recell.compiler.build import Variant
from recell.compiler.circles import without_circles
from recell.errors import CellError
from recell.graph.graph import ROW_SCALAR, Builder, Graph, Node, State
from recell.graph.ops import OPS
from recell.graph.rewrite import copy, drop_dead, relocate, rewrite
from recell.graph.size import Size
from recell.graph.verify import verify


def prepare(graph: Graph, variant: Variant) -> Graph:
    """The step as it runs: resets and masks are equations of states, coins that are not drawn are numbers."""
    if not variant.training and graph.has_coins:
        graph = with_expectations(graph)
    if variant.reset:
        graph = with_reset(graph)
    if variant.mask:
        graph = with_mask(graph)
    graph = drop_dead(without_circles(graph))
    verify(graph, CellError, prepared=True)
    return graph


def with_expectations(graph: Graph) -> Graph:
    """Coins that are not drawn are numbers, and what is computed of them is shaped (and folded) anew.

    A number has no size: what reads whole vectors (a product, a `concat`) gets one of the coin's shape, made from the value
    that the coin took its shape from.
    """
    builder = Builder()
    place: list[int] = []
    like: dict[int, int] = {}  # old node that lost its shape -> a new node that has it

    def whole(old: int) -> int:
        if old not in like:
            return place[old]
        return builder.apply("where", (builder.constant(0.0), like[old], place[old]))

    for old, node in enumerate(graph.nodes):
        if node.op == "coin":
            place.append(builder.constant(node.attributes[0]))
            like[old] = whole(node.inputs[0])
        elif OPS[node.op].kind == "point":
            place.append(builder.apply(node.op, tuple(place[i] for i in node.inputs), node.attributes))
            if builder.shape(place[old]) != node.shape:
                like[old] = next(like[i] for i in node.inputs if i in like and builder.shape(like[i]) == node.shape)
        else:
            place.append(copy(builder, node, tuple(whole(i) for i in node.inputs)))
    for old in (*graph.output, *(s.after for s in graph.states)):
        place[old] = whole(old)
        like.pop(old, None)
    return relocate(graph, builder, place)


def with_reset(graph: Graph) -> Graph:
    """A reset step reads the initial state, a number or a parameter: where(reset, initial, state)."""
    entering: dict[int, int] = {}
    builder = Builder()
    place: list[int] = []
    for old, node in enumerate(graph.nodes):
        new = copy(builder, node, tuple(place[i] for i in node.inputs))
        if node.op == "state":
            state = graph.states[node.attributes[0]]
            fresh = builder.leaf("reset", (), ROW_SCALAR)
            entering[old] = new
            new = builder.apply("where", (fresh, _initial(graph, builder, state), new))
        place.append(new)
    moved = relocate(graph, builder, place)
    states = tuple(replace(s, before=entering[old.before]) for s, old in zip(moved.states, graph.states, strict=True))
    return replace(moved, states=states)


def _initial(graph: Graph, builder: Builder, state: State) -> int:
    if state.restored is None:
        return builder.constant(state.initial)
    return builder.leaf("parameter", (state.restored,), graph.parameters[state.restored].shape)


def with_mask(graph: Graph) -> Graph:
    """A masked step holds what entered it; its output is the held state, or 0 where the output is a local."""
    builder = Builder(graph.nodes)
    mask = builder.leaf("mask", (), ROW_SCALAR)
    states = tuple(replace(s, after=builder.apply("where", (mask, s.after, _entering(graph, s.before)))) for s in graph.states)
    output = tuple(states[s].after if s >= 0 else builder.apply("where", (mask, o, builder.constant(0.0)))
                   for o, s in zip(graph.output, graph.output_states, strict=True))
    return _masked_input(replace(graph, nodes=tuple(builder.nodes), states=states, output=output))


def _entering(graph: Graph, before: int) -> int:
    """The state as the step reads it: the leaf, or what a reset made of it."""
    for place, node in enumerate(graph.nodes):
        if node.op == "where" and node.inputs[2] == before and graph.nodes[node.inputs[0]].op == "reset":
            return place
    return before


def _masked_input(graph: Graph) -> Graph:
    """A value that does not count must not spoil a sum by being NaN: at masked steps x is 0 and the time elapsed 1."""
    stand_in = {"input": 0.0, "elapsed": 1.0}

    def rule(builder: Builder, node: Node, inputs: tuple[int, ...]) -> int | None:
        if node.op not in stand_in:
            return None
        mask = builder.leaf("mask", (), ROW_SCALAR)
        return builder.apply("where", (mask, copy(builder, node, inputs), builder.constant(stand_in[node.op])))

    return rewrite(graph, rule)


def push_layout(graph: Graph) -> Graph:
    """`split` goes into the rows of matrices, through sums and pointwise work; a product of a `concat` is a sum over columns.

    Only where nobody else reads the whole; then the spelling of an equation no longer matters to the plan. What interprets a step
    op by op has no use for it: there one wide product is faster, and every value that the author named is kept.
    """
    graph = drop_dead(_LayoutPush(graph).run())
    verify(graph, CellError, prepared=True)
    return graph


def push_signs(graph: Graph) -> Graph:
    """`a - M @ v` is `a + (-M) @ v`, `-(M @ v)` is `(-M) @ v`: a sum of products is one block product, and so is its adjoint.

    `a - w * v` likewise, w computed of parameters: its adjoint then negates nothing at a step. Only where nobody else reads the
    product. The matrix or w is negated once a call.
    """
    readers = Counter(i for node in graph.nodes for i in node.inputs)
    readers.update([*graph.output, *(s.after for s in graph.states)])
    builder = Builder()
    place: list[int] = []

    def negated(old: int) -> int | None:
        node = graph.nodes[old]
        factor = next((i for i in node.inputs if _is_computed(graph.nodes[i])), None) if node.op == "mul" else None
        if readers[old] != 1 or not node.shape.is_row or (node.op != "product" and factor is None):
            return None
        first, second = (place[i] for i in node.inputs)
        if factor == node.inputs[1]:
            return builder.apply("mul", (first, builder.apply("neg", (second,))))
        return builder.apply(node.op, (builder.apply("neg", (first,)), second))

    for node in graph.nodes:
        new = negated(node.inputs[-1]) if node.op in ("sub", "neg") else None
        if new is not None and node.op == "sub":
            new = builder.apply("add", (place[node.inputs[0]], new))
        place.append(copy(builder, node, tuple(place[i] for i in node.inputs)) if new is None else new)
    graph = drop_dead(relocate(graph, builder, place))
    verify(graph, CellError, prepared=True)
    return graph


def _is_computed(node: Node) -> bool:
    """Whether a value is computed of parameters once a call; neither a parameter, which needs no computing, nor a number."""
    return not node.shape.is_row and bool(node.shape.dims) and node.op != "parameter"


def push_scales(graph: Graph) -> Graph:
    """`v * (M @ x)`, v computed of parameters, is `(diag(v) M) @ x`: no step multiplies or keeps what v's gradient would read.

    Only where nobody else reads the product. The rows are scaled once a call, which computes v anyway; a v that is a parameter
    itself stays where it is.
    """
    readers = Counter(i for node in graph.nodes for i in node.inputs)
    readers.update([*graph.output, *(s.after for s in graph.states)])
    builder = Builder()
    place: list[int] = []

    def scaled(node: Node, factor: int, product: int) -> int | None:
        v, made = graph.nodes[factor], graph.nodes[product]
        fits = v.shape.dims == node.shape.dims and not v.shape.is_row and v.op != "parameter"
        if made.op != "product" or readers[product] != 1 or not fits:
            return None
        matrix, operand = (place[i] for i in made.inputs)
        ones = builder.apply("splat", (builder.constant(1.0),), (builder.shape(matrix).dims[1],))
        factors = builder.apply("outer_parameters", (place[factor], ones))
        return builder.apply("product", (builder.apply("mul", (factors, matrix)), operand))

    for node in graph.nodes:
        new = None
        for factor, product in (node.inputs, node.inputs[::-1]) if node.op == "mul" else ():
            new = scaled(node, factor, product) if new is None else new
        place.append(copy(builder, node, tuple(place[i] for i in node.inputs)) if new is None else new)
    graph = drop_dead(relocate(graph, builder, place))
    verify(graph, CellError, prepared=True)
    return graph


Part = tuple[Size, Size]  # where it begins, how wide it is


class _LayoutPush:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.nodes = graph, graph.nodes
        self.named = {*graph.output, *(s.after for s in graph.states)}
        self.divided = self._divided()
        self.builder = Builder()
        self.place: list[int] = []
        self.parts: dict[tuple[int, Part], int] = {}

    def run(self) -> Graph:
        for node in self.nodes:
            inputs = tuple(self.place[i] for i in node.inputs)
            if node.op == "slice" and node.inputs[0] in self.divided:
                start, size = node.attributes
                self.place.append(self._part(node.inputs[0], (start, size)))
            elif node.op == "product":
                self.place.append(self._product(node, inputs))
            else:
                self.place.append(copy(self.builder, node, inputs))
        return relocate(self.graph, self.builder, self.place)

    def _divided(self) -> set[int]:
        """Vectors that are computed part by part: what reads them reads parts, and so can be what they are made of."""
        readers: dict[int, list[int]] = {}
        for place, node in enumerate(self.nodes):
            for i in node.inputs:
                readers.setdefault(i, []).append(place)
        found = {place for place, node in enumerate(self.nodes) if place not in self.named and self._may_divide(node)}
        while True:
            kept = self._consistent(found, readers)
            if kept == found:
                return found
            found = kept

    def _consistent(self, found: set[int], readers: dict[int, list[int]]) -> set[int]:
        """Those of `found` whose readers ask for parts, all of one size, and whose inputs can be had in parts."""
        asked: dict[int, set[Part]] = {}
        for place in sorted(found, reverse=True):
            asked[place] = set()
            for r in readers.get(place, ()):
                asked[place] |= {self.nodes[r].attributes} if self.nodes[r].op == "slice" else asked.get(r, set())
        return {
            n for n in found
            if all(self.nodes[r].op == "slice" or r in found for r in readers.get(n, ()))
            and len({size for _, size in asked[n]}) == 1  # then no two of them overlap
            and (self.nodes[n].op == "product" or all(self._follows(i, found) for i in self.nodes[n].inputs))
        }  # fmt: skip

    def _may_divide(self, node: Node) -> bool:
        return node.shape.is_row and bool(node.shape.dims) and (node.op == "product" or OPS[node.op].kind == "point")

    def _follows(self, node: int, divided: set[int]) -> bool:
        """An input that can be had in parts at no cost: itself divided, a parameter, a number."""
        shape = self.nodes[node].shape
        return node in divided or not shape.is_row or not shape.dims

    def _part(self, old: int, part: Part) -> int:
        """The new node of a part of an old value."""
        node = self.nodes[old]
        if not node.shape.dims:
            return self.place[old]
        if (old, part) not in self.parts:
            if node.op == "product":
                rows = self.builder.apply("rows", (self.place[node.inputs[0]],), part)
                made = self._product(node, (rows, self.place[node.inputs[1]]))
            elif old in self.divided:
                made = self.builder.apply(node.op, tuple(self._part(i, part) for i in node.inputs), node.attributes)
            else:
                made = self.builder.apply("slice", (self.place[old],), part)
            self.parts[old, part] = made
        return self.parts[old, part]

    def _product(self, node: Node, inputs: tuple[int, ...]) -> int:
        operand = node.inputs[1]
        pushed = self.nodes[operand].op == "concat" and operand not in self.named
        new = _product_of_parts(self.builder, inputs) if pushed else None
        return self.builder.apply("product", inputs) if new is None else new


def _product_of_parts(builder: Builder, inputs: tuple[int, ...]) -> int | None:
    matrix, whole = inputs
    parts = builder.nodes[whole].inputs
    if not all(builder.shape(p).is_row and builder.shape(p).dims for p in parts):
        return None  # a number per row or a parameter inside: the concat stays
    total: int | None = None
    start = Size()
    for part in parts:
        size = builder.shape(part).dims[0]
        product = builder.apply("product", (builder.apply("columns", (matrix,), (start, size)), part))
        total = product if total is None else builder.apply("add", (total, product))
        start = start + size
    return total
