"""Graph-to-graph rewrites that every backend but the reference gets: what a mask, a reset and evaluation mean."""

from __future__ import annotations

from dataclasses import replace

from recell.compiler.build import Variant
from recell.compiler.circles import without_circles
from recell.errors import CellError
from recell.graph.graph import ROW_SCALAR, Builder, Graph, Node
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
    graph = push_layout(without_circles(graph))
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
    """A reset step reads the initial state: where(reset, initial, state)."""
    entering: dict[int, int] = {}
    builder = Builder()
    place: list[int] = []
    for old, node in enumerate(graph.nodes):
        new = copy(builder, node, tuple(place[i] for i in node.inputs))
        if node.op == "state":
            state = graph.states[node.attributes[0]]
            fresh = builder.leaf("reset", (), ROW_SCALAR)
            entering[old] = new
            new = builder.apply("where", (fresh, builder.constant(state.initial), new))
        place.append(new)
    moved = relocate(graph, builder, place)
    states = tuple(replace(s, before=entering[old.before]) for s, old in zip(moved.states, graph.states, strict=True))
    return replace(moved, states=states)


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
    """`split` of a product becomes products of the matrix's rows, a product of a `concat` a sum over its columns.

    Only where nobody else reads the whole; then the spelling of an equation no longer matters to the plan.
    """
    readers: dict[int, list[str]] = {}
    for node in graph.nodes:
        for i in node.inputs:
            readers.setdefault(i, []).append(node.op)
    named = {*graph.output, *(s.after for s in graph.states)}

    def rule(builder: Builder, node: Node, inputs: tuple[int, ...]) -> int | None:
        if node.op == "slice":
            inner = node.inputs[0]
            if graph.nodes[inner].op == "product" and inner not in named and set(readers[inner]) == {"slice"}:
                whole = builder.nodes[inputs[0]]
                part = builder.apply("rows", (whole.inputs[0],), node.attributes)
                return builder.apply("product", (part, whole.inputs[1]))
        if node.op == "product" and graph.nodes[node.inputs[1]].op == "concat":
            return _product_of_parts(builder, inputs) if node.inputs[1] not in named else None
        return None

    return drop_dead(rewrite(graph, rule))


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
