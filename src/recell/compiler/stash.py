"""What the forward step keeps for the backward step: a minimum cut.

Every forward value that a gradient reads must be kept or computed again from what is kept. Products and whole-row ops
are barriers (not computed twice); x, elapsed time, masks, coins and the output are free. Of equal cuts the one nearest
the gradients is taken, so that little is computed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from recell.compiler.backward import Backward
from recell.graph.graph import Graph, Node
from recell.graph.ops import OPS

INFINITE = 1 << 60


@dataclass(frozen=True)
class Stash:
    """`values`: forward nodes kept as streams; `states`: states kept at every step (before and after)."""

    values: tuple[int, ...]
    states: tuple[int, ...]
    free_states: tuple[int, ...]  # kept at no cost: they are the output
    floats: int


def width(node: Node, sizes: Mapping[str, int]) -> int:
    """How many units a vector has; 1 for a number per row."""
    return node.shape.dims[0].evaluate(sizes) if node.shape.dims else 1


def choose(graph: Graph, backward: Backward, sizes: Mapping[str, int]) -> Stash:
    """The stash of a prepared graph and its backward step."""
    demanded = _demanded(backward)
    free_states = tuple(sorted({s for s in graph.output_states if s >= 0}))
    states: set[int] = set()
    while True:
        cut = _minimum_cut(graph, demanded, sizes, states | set(free_states))
        new = {i for i, s in enumerate(graph.states) if {s.before, s.after} & cut} - states - set(free_states)
        if not new:
            break
        states |= new
    free = _free(graph, states | set(free_states))
    values = tuple(sorted(cut - free))
    total = sum(width(graph.nodes[v], sizes) for v in values)
    total += sum(width(graph.nodes[graph.states[i].before], sizes) for i in states)
    return Stash(values, tuple(sorted(states)), free_states, total)


def _demanded(backward: Backward) -> set[int]:
    """Forward values of the row that live adjoint nodes read."""
    roots = [node for _, _, node in backward.state_adjoints]
    roots += [part for _, parts in backward.reductions for part in parts]
    roots += [backward.input_gradient] if backward.input_gradient is not None else []
    seen: set[int] = set()
    found: set[int] = set()
    while roots:
        place = roots.pop()
        if place in seen:
            continue
        seen.add(place)
        if place < backward.forward_count:
            if backward.nodes[place].shape.is_row:
                found.add(place)
            continue
        roots.extend(backward.nodes[place].inputs)
    return found


def _free(graph: Graph, kept_states: set[int]) -> set[int]:
    free = {p for p, n in enumerate(graph.nodes) if n.op in ("input", "elapsed", "mask", "reset", "coin")}
    free |= {o for o, s in zip(graph.output, graph.output_states, strict=True) if s < 0 and graph.nodes[o].shape.dims}
    for i in kept_states:
        free |= {graph.states[i].before, graph.states[i].after}
    return free


def _minimum_cut(graph: Graph, demanded: set[int], sizes: Mapping[str, int], kept_states: set[int]) -> set[int]:
    """Nodes whose keeping separates what can't be computed again from what is demanded."""
    count = len(graph.nodes)
    source, sink = 2 * count, 2 * count + 1
    flow = _Flow(2 * count + 2)
    free = _free(graph, kept_states)
    always = {p for p, n in enumerate(graph.nodes) if n.op in ("input", "elapsed", "mask", "reset", "coin")}
    for place, node in enumerate(graph.nodes):
        if not node.shape.is_row or place in always:
            continue
        flow.edge(2 * place, 2 * place + 1, 0 if place in free else width(node, sizes))
        if node.op == "state" or OPS[node.op].kind in ("product", "row"):
            flow.edge(source, 2 * place, INFINITE)
        else:
            for i in node.inputs:
                if graph.nodes[i].shape.is_row and i not in always:
                    flow.edge(2 * i + 1, 2 * place, INFINITE)
        if place in demanded:
            flow.edge(2 * place + 1, sink, INFINITE)
    flow.maximise(source, sink)
    near_sink = flow.reaching(sink)
    return {p for p in range(count) if 2 * p + 1 in near_sink and 2 * p not in near_sink and flow.has_edge(2 * p, 2 * p + 1)}


class _Flow:
    """Maximum flow by shortest augmenting paths (Edmonds & Karp 1972); the graphs have a few hundred edges."""

    def __init__(self, count: int) -> None:
        self.capacity: list[dict[int, int]] = [{} for _ in range(count)]
        self.original: set[tuple[int, int]] = set()

    def edge(self, a: int, b: int, capacity: int) -> None:
        self.capacity[a][b] = self.capacity[a].get(b, 0) + capacity
        self.capacity[b].setdefault(a, 0)
        self.original.add((a, b))

    def has_edge(self, a: int, b: int) -> bool:
        return (a, b) in self.original

    def maximise(self, source: int, sink: int) -> None:
        while (parents := self._path(source, sink)) is not None:
            amount, node = INFINITE, sink
            while node != source:
                amount = min(amount, self.capacity[parents[node]][node])
                node = parents[node]
            node = sink
            while node != source:
                self.capacity[parents[node]][node] -= amount
                self.capacity[node][parents[node]] += amount
                node = parents[node]

    def _path(self, source: int, sink: int) -> dict[int, int] | None:
        parents = {source: source}
        queue = deque([source])
        while queue:
            node = queue.popleft()
            for other, capacity in self.capacity[node].items():
                if capacity > 0 and other not in parents:
                    parents[other] = node
                    if other == sink:
                        return parents
                    queue.append(other)
        return None

    def reaching(self, sink: int) -> set[int]:
        """Nodes from which the sink can still be reached: the cut's side nearest the sink."""
        found = {sink}
        queue = deque([sink])
        while queue:
            node = queue.popleft()
            for other in self.capacity[node]:
                if other not in found and self.capacity[other].get(node, 0) > 0:
                    found.add(other)
                    queue.append(other)
        return found
