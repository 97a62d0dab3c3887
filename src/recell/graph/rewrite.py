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
