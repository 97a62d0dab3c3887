"""States that hand each other their values round in a circle, or keep their own: nothing computes them, so a step must."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recell.graph.graph import Builder, Graph


def handed_round(recurrences: Iterable[tuple[int, int]]) -> set[int]:
    """The leaves of (leaf before, node after) pairs whose new value is a leaf, and so on until they come back."""
    after = dict(recurrences)
    found: set[int] = set()
    for leaf in after:
        place, seen = after[leaf], {leaf}
        while place in after and place not in seen:
            seen.add(place)
            place = after[place]
        if place == leaf:
            found.add(leaf)
    return found


def computed(builder: Builder, node: int) -> int:
    """The same value, bit for bit, as a node that a loop runs: plans carry from step to step only what a step computes."""
    one = builder.constant(1.0)
    return builder._append("mul", (node, one), (), builder.shape(node))  # pyright: ignore[reportPrivateUsage]


def without_circles(graph: Graph) -> Graph:
    """The graph in which no state's new value is only handed round."""
    round_trip = handed_round((s.before, s.after) for s in graph.states)
    if not round_trip:
        return graph
    builder = Builder(graph.nodes)
    states = tuple(replace(s, after=computed(builder, s.after)) if s.before in round_trip else s for s in graph.states)
    output = tuple(states[s].after if s >= 0 else node for node, s in zip(graph.output, graph.output_states, strict=True))
    return replace(graph, nodes=tuple(builder.nodes), states=states, output=output)
