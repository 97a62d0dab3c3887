"""Rebuilding a graph node by node: what every pass and modifier is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from recell.graph.graph import Builder, Graph, Node

Rule = Callable[[Builder, Node, tuple[int, ...]], int | None]


def rewrite(graph: Graph, rule: Rule, *, simplify: bool = False) -> Graph:
    """Rebuilds the graph; `rule` may give a node's replacement, None copies it."""
    builder = Builder(simplify=simplify)
    place: list[int] = []
    for node in graph.nodes:
        inputs = tuple(place[i] for i in node.inputs)
        new = rule(builder, node, inputs)
        if new is None:
            new = copy(builder, node, inputs)
        place.append(new)
    return relocate(graph, builder, place)


def copy(builder: Builder, node: Node, inputs: tuple[int, ...]) -> int:
    return builder._append(node.op, inputs, node.attributes, node.shape)  # pyright: ignore[reportPrivateUsage]


def relocate(graph: Graph, builder: Builder, place: list[int]) -> Graph:
    """The graph with every mention of an old node moved to its new place."""
    return replace(
        graph,
        nodes=tuple(builder.nodes),
        states=tuple(replace(s, before=place[s.before], after=place[s.after]) for s in graph.states),
        parameters=tuple(replace(p, node=place[p.node]) for p in graph.parameters),
        output=tuple(place[o] for o in graph.output),
        names=tuple((name, place[node]) for name, node in graph.names),
    )


def drop_dead(graph: Graph) -> Graph:
    """Only what reaches the output or a state stays; named values that died lose their names."""
    live = _live(graph)
    builder = Builder()
    place: dict[int, int] = {}
    for old, node in enumerate(graph.nodes):
        if old in live:
            place[old] = copy(builder, node, tuple(place[i] for i in node.inputs))
    names = tuple((name, node) for name, node in graph.names if node in place)
    return relocate(replace(graph, names=names), builder, [place.get(i, -1) for i in range(len(graph.nodes))])


def _live(graph: Graph) -> set[int]:
    stack = [*graph.output, *(s.after for s in graph.states), *(s.before for s in graph.states),
             *(p.node for p in graph.parameters)]
    live: set[int] = set()
    while stack:
        node = stack.pop()
        if node not in live:
            live.add(node)
            stack.extend(graph.nodes[node].inputs)
    return live


def tidy(graph: Graph) -> Graph:
    """Without dead values, parameters numbered by first use: what a graph that was written by hand looks like.

    Parameters may have been taken out before; their nodes go with them.
    """
    graph = drop_dead(graph)
    parameters = tuple(sorted(graph.parameters, key=lambda p: p.node))
    number = {graph.nodes[p.node].attributes[0]: new for new, p in enumerate(parameters)}
    nodes = tuple(replace(n, attributes=(number[n.attributes[0]],)) if n.op == "parameter" else n for n in graph.nodes)
    states = tuple(s if s.restored is None else replace(s, restored=number[s.restored]) for s in graph.states)
    return replace(graph, nodes=nodes, states=states, parameters=parameters)
