"""Sums put in one order: products first, then what is given, then the rest, so that one form takes all products.

The gradient of a vector that was split is a sum of its parts' gradients, each with zeros around it: side by side without a gap
they are one `concat`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recell.compiler.backward import Backward
from recell.graph.graph import Builder, Graph, Node
from recell.graph.size import Size


def gather_graph(graph: Graph) -> Graph:
    """The forward step with products of one operand gathered into one block."""
    pinned = {*graph.output, *(s.after for s in graph.states)}
    nodes, place = gather(graph.nodes, pinned)
    return replace(
        graph, nodes=nodes, names=(),
        states=tuple(replace(s, before=place[s.before], after=place[s.after]) for s in graph.states),
        parameters=tuple(replace(p, node=place[p.node]) for p in graph.parameters),
        output=tuple(place[o] for o in graph.output),
    )


def gather_backward(d: Backward) -> Backward:
    """The same for the derived backward step."""
    pinned = {n for _, _, n in d.state_adjoints} | {p for _, parts in d.reductions for p in parts}
    pinned |= {d.input_gradient} if d.input_gradient is not None else set()
    pinned |= {g for g in d.parameter_gradients if g is not None}
    nodes, place = gather(d.nodes, pinned, fixed=d.forward_count)
    return replace(
        d, nodes=nodes,
        output_adjoints=tuple(place[o] for o in d.output_adjoints),
        state_adjoints=tuple((i, place[a], place[n]) for i, a, n in d.state_adjoints),
        input_gradient=None if d.input_gradient is None else place[d.input_gradient],
        reductions=tuple((v, tuple(place[p] for p in parts)) for v, parts in d.reductions),
        parameter_gradients=tuple(None if g is None else place[g] for g in d.parameter_gradients),
        gradient_leaves=tuple((place[leaf], v) for leaf, v in d.gradient_leaves),
    )


def gather(nodes: tuple[Node, ...], pinned: Iterable[int], fixed: int = 0) -> tuple[tuple[Node, ...], list[int]]:
    """Rebuilds every sum of three or more that holds a product, and those of parts; returns the nodes and old -> new places.

    `pinned` values are read from outside; the first `fixed` nodes stay as and where they are.
    """
    kept = set(pinned)
    readers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for i in node.inputs:
            readers.setdefault(i, []).append(place)
    builder = Builder(nodes[:fixed])
    place = list(range(fixed))
    for old in range(fixed, len(nodes)):
        node = nodes[old]
        addends = _addends(nodes, readers, kept, old, fixed) if node.op == "add" else []
        parts = _side_by_side(nodes, addends)
        if parts:
            terms = [place[a] for a in sorted(addends, key=lambda a: _rank(nodes[a])) if not any(a in part for part in parts)]
            terms.append(
                builder.apply("concat", tuple(_sum(builder, [place[nodes[a].inputs[0]] for a in part]) for part in parts))
            )
            place.append(_sum(builder, terms))
        elif len(addends) > 2 and any(nodes[a].op == "product" for a in addends):
            ordered = sorted(addends, key=lambda a: _rank(nodes[a]))
            place.append(_sum(builder, [place[a] for a in ordered]))
        else:
            place.append(builder._append(node.op, tuple(place[i] for i in node.inputs), node.attributes, node.shape))  # pyright: ignore[reportPrivateUsage]
    return tuple(builder.nodes), place


def _rank(node: Node) -> int:
    if node.op == "product":
        return 0
    return 2 if node.shape.is_row else 1


def _sum(builder: Builder, terms: list[int]) -> int:
    total = terms[0]
    for term in terms[1:]:
        total = builder.apply("add", (total, term))
    return total


def _side_by_side(nodes: tuple[Node, ...], addends: list[int]) -> list[list[int]]:
    """Addends that are parts with zeros around, by the place where they lie, if they fill the whole without a gap; else none."""
    pads = [a for a in addends if nodes[a].op == "pad"]
    found: list[list[int]] = []
    start = Size()
    while here := [a for a in pads if nodes[a].attributes[0] == start]:
        size = nodes[nodes[here[0]].inputs[0]].shape.dims[0]
        if size == Size() or any(nodes[nodes[a].inputs[0]].shape.dims[0] != size for a in here):
            return []
        found.append(here)
        start = start + size
    return found if found and nodes[found[-1][0]].attributes[1] == Size() else []


def _addends(nodes: tuple[Node, ...], readers: dict[int, list[int]], pinned: set[int], root: int, fixed: int) -> list[int]:
    """The terms of a sum, through inner sums that nobody else reads and that have the sum's own shape."""
    result: list[int] = []
    stack = list(reversed(nodes[root].inputs))
    while stack:
        i = stack.pop()
        inner = nodes[i].op == "add" and len(readers[i]) == 1 and i not in pinned and i >= fixed
        if inner and nodes[i].shape == nodes[root].shape:
            stack.extend(reversed(nodes[i].inputs))
        else:
            result.append(i)
    return result
