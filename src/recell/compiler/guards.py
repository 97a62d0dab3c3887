"""Products that a step can do without: where `where(due, new, old)` is not due, nobody reads `new`, and its gradient is zero.

A guard is a condition made of time or of elapsed time, one number per row: cheap, and known before the loop that it guards. Both
rules follow the equations and know no cell. A value is needed only where what reads it is, and chooses it; a value is zero where
a factor of it is, or the `where` that made it chose zero (Koutnik et al. 2014: groups that are not due are not computed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recell.graph.graph import Node
from recell.graph.ops import OPS

KEEP_ZERO = ("neg", "abs", "slice", "pad", "splat", "sum", "mean")
ANY_ZERO = ("mul", "product")
ALL_ZERO = ("add", "sub", "concat")


@dataclass(frozen=True, order=True)
class Guard:
    """What it guards counts at a row where `condition` is not 0, or, where `when` is False, is 0."""

    condition: int
    when: bool


Guards = frozenset[Guard]
NEVER: Guards = frozenset()


class Facts:
    """What the nodes of a step say of each other. `given` values are read as they are, whatever made them."""

    def __init__(self, nodes: Sequence[Node], given: Iterable[int]) -> None:
        self.nodes, self.given = nodes, frozenset(given)
        self._cheap: dict[int, bool | None] = {}
        self.zero: dict[int, Guards | None] = {}

    def of_condition(self, condition: int, when: bool) -> Guards:
        """The guard that a condition is, if it is computed, one number per row, of nothing but time."""
        leaf = OPS[self.nodes[condition].op].kind == "leaf"
        return frozenset({Guard(condition, when)}) if not leaf and self._made_of(condition) else NEVER

    def _made_of(self, node: int) -> bool | None:
        """Whether a number is made of time; None where it is made of streams and numbers that say nothing of it."""
        if node not in self._cheap:
            self._cheap[node] = self._look(node)
        return self._cheap[node]

    def _look(self, node: int) -> bool | None:
        n = self.nodes[node]
        if n.shape.dims:
            return False
        if OPS[n.op].kind == "leaf":
            return True if n.op in ("state", "elapsed") else None if n.op in ("constant", "extent", "mask", "reset") else False
        if OPS[n.op].kind != "point":
            return False
        parts = {self._made_of(i) for i in n.inputs}
        return False if False in parts else True if True in parts else None

    # -- where a value is zero ------------------------------------------------------------------------------------------
    def zeros(self, node: int) -> Guards | None:
        """The guards without each of which a value is 0; None: it is 0 everywhere."""
        if node not in self.zero:
            self.zero[node] = self._zeros(node)
        return self.zero[node]

    def _zeros(self, node: int) -> Guards | None:
        n = self.nodes[node]
        if n.op == "constant":
            return None if n.attributes[0] == 0 else NEVER
        if node in self.given or not n.inputs:
            return NEVER
        if n.op == "where":
            return self._zeros_of_where(*n.inputs)
        if n.op == "div" or n.op in KEEP_ZERO:
            return self.zeros(n.inputs[0])
        if n.op in ANY_ZERO:
            return _union([self.zeros(i) for i in n.inputs])
        return common([self.zeros(i) for i in n.inputs]) if n.op in ALL_ZERO else NEVER

    def _zeros_of_where(self, condition: int, a: int, b: int) -> Guards | None:
        left, right = self.zeros(a), self.zeros(b)
        found = common([left, right])
        if found is None:
            return None
        found |= self.of_condition(condition, True) if right is None else NEVER
        return found | (self.of_condition(condition, False) if left is None else NEVER)

    # -- where a value is needed ------------------------------------------------------------------------------------------
    def needs(self, order: Sequence[int], readers: Mapping[int, Sequence[int]], roots: Mapping[int, Guards]) -> dict[int, Guards]:
        """Node -> the guards without each of which nobody needs its value. `order`: the live nodes, inputs first."""
        found: dict[int, Guards] = {}
        for node in reversed(order):
            parts = [found[r] | self._chosen(node, r) for r in readers[node]]
            found[node] = common([*parts, *([roots[node]] if node in roots else [])]) or NEVER
        return found

    def _chosen(self, node: int, reader: int) -> Guards:
        """The guards without which this reader makes nothing of the value."""
        n = self.nodes[reader]
        if n.inputs.count(node) != 1:
            return NEVER
        if n.op == "where":
            condition, a, _ = n.inputs
            return NEVER if node == condition else self.of_condition(condition, node == a)
        if n.op == "mul":
            other = n.inputs[1] if n.inputs[0] == node else n.inputs[0]
            return self.zeros(other) or NEVER
        return NEVER


def common(parts: Sequence[Guards | None]) -> Guards | None:
    """What all parts have; None has everything."""
    known = [p for p in parts if p is not None]
    return frozenset.intersection(*known) if known else None


def _union(parts: Sequence[Guards | None]) -> Guards | None:
    return None if None in parts else frozenset[Guard]().union(*(p for p in parts if p is not None))


def one_of(guards: Guards | None, available: Iterable[int]) -> Guard | None:
    """The guard to look at, where there are several: the one computed last."""
    known = set(available)
    return max((g for g in guards or NEVER if g.condition in known), default=None)
