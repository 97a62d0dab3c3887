"""One step as the planner sees it: the values that anybody needs, who reads them, on which cycle they lie, what guards them."""

from __future__ import annotations

from collections.abc import Mapping

from recell.compiler.cycles import cycles
from recell.compiler.guards import NEVER, Facts, Guard, Guards, common, one_of
from recell.graph.graph import Node
from recell.graph.ops import OPS


class Step:
    """The needed nodes of a step graph, in order. `given` values are streams that are there before it runs."""

    def __init__(self, nodes: tuple[Node, ...], given: set[int], recurrences: list[tuple[int, int]],
                 wanted: list[int], reductions: list[int], needs: Mapping[int, Guards]) -> None:
        self.nodes, self.given, self.recurrences = nodes, given, recurrences
        self.wanted = wanted
        self.outers = [r for r in reductions if nodes[r].op == "outer"]
        self.batch_sums = [r for r in reductions if nodes[r].op == "batch_sum"]
        self.before = dict(recurrences)
        self.order = self._needed()
        self.readers = self._readers()
        self.later = {node: [r for leaf, after in recurrences if after == node for r in self.readers.get(leaf, ())]
                      for node in self.order}  # what reads a node's value at the next step
        self.group = cycles(self.order, self.inputs, self.readers, recurrences)
        self.facts = Facts(nodes, given)
        self.needs = self.facts.needs(self.order, self.readers, self._roots(needs))
        self.guards = self._guards()
        self.conditions = {g.condition for g in self.guards.values()}

    def _roots(self, needs: Mapping[int, Guards]) -> dict[int, Guards]:
        """Where those outside the step need its values: a factor of a weight gradient only where the other is not 0."""
        parts: dict[int, list[Guards | None]] = {}
        for node in self.wanted:
            parts.setdefault(node, []).append(needs.get(node, NEVER))
        for node in [*self.batch_sums, *(a for _, a in self.recurrences)]:
            parts.setdefault(node, []).append(NEVER)
        for left, right in (self.nodes[o].inputs for o in self.outers):
            parts.setdefault(left, []).append(self.facts.zeros(right))
            parts.setdefault(right, []).append(self.facts.zeros(left))
        return {node: common(guards) or NEVER for node, guards in parts.items()}

    def _guards(self) -> dict[int, Guard]:
        """Product or outer node -> what it may be left out without."""
        found: dict[int, Guard | None] = {o: one_of(self._zeros(*self.nodes[o].inputs), self.order) for o in self.outers}
        for node in self.order:
            if self.is_product(node):
                found[node] = one_of(self.needs[node] | self._zeros(self.nodes[node].inputs[1]), self.order)
        return {node: guard for node, guard in found.items() if guard}

    def _zeros(self, *factors: int) -> Guards:
        return NEVER.union(*(self.facts.zeros(f) or NEVER for f in factors))

    def inputs(self, node: int) -> list[int]:
        """Values of the row that this one reads in the same step; a coin reads a shape alone."""
        if node in self.given or node in self.before or self.nodes[node].op == "coin":
            return []
        return [i for i in self.nodes[node].inputs if self.nodes[i].shape.is_row]

    def _needed(self) -> list[int]:
        stack = [*self.wanted, *self.batch_sums, *(a for _, a in self.recurrences)]
        stack += [i for o in self.outers for i in self.nodes[o].inputs]
        seen: set[int] = set()
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(self.inputs(node))
        return sorted(seen)

    def _readers(self) -> dict[int, list[int]]:
        table: dict[int, list[int]] = {node: [] for node in self.order}
        for node in self.order:
            for i in self.inputs(node):
                table[i].append(node)
        return table

    def is_product(self, node: int) -> bool:
        """Whether a node is a product that this step computes."""
        return self.nodes[node].op == "product" and node not in self.given

    def is_point(self, node: int) -> bool:
        """Whether a node is pointwise work, or what runs with it, that this step computes."""
        op = self.nodes[node].op
        return (OPS[op].kind in ("point", "row", "layout") or op == "coin") and node not in self.given
