"""Streams that may be written over another, a kept value or one of the step's own: its last reader comes first.

A gate's gradient then lies where the gate lay, an adjoint where the products lay that it adds up. The lines are in the cache
already, so nothing is fetched only to be overwritten, and a step needs less memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recell.compiler.backends.cpu.fusion import FUSED_OPS
from recell.compiler.plan import StepPlan
from recell.graph.ops import OPS


class Reuse:
    """Hands out each value's memory at most once."""

    def __init__(self, plan: StepPlan, stage_of: Mapping[int, tuple[int, int]], readers: Mapping[int, list[int]],
                 spendable: Iterable[int]) -> None:
        self.plan, self.stage_of, self.readers = plan, stage_of, readers
        self.order = {node: k for phase in plan.phases for stage in phase.stages for k, node in enumerate(stage.points)}
        forms = [form for phase in plan.phases for stage in phase.stages for form in stage.forms]
        read_whole = {p.operand for f in forms for p in f.products} | {f.initial for f in forms}
        read_whole |= {i for _, a, b in plan.outers for i in (a, b)} | plan.kept
        guards = [*plan.outer_guards.values(), *(p.guard for f in forms for p in f.products)]
        read_whole |= {g.condition for g in guards if g}
        self.read_whole = read_whole
        self.free = [v for v in spendable if v not in read_whole]
        self.hosts: set[int] = set()  # values in whose memory another lies until they are made

    def offer(self, node: int) -> None:
        """A stream of the step's own, with a slot a step: later ones may lie in its memory."""
        if node not in self.read_whole:
            self.free.append(node)

    def take(self, node: int) -> int | None:
        """A value of the node's shape whose memory it may take, or None. The node must be elementwise in a loop."""
        if OPS[self.plan.nodes[node].op].kind != "point" or node not in self.order:
            return None
        for value in self.free:
            if self.plan.nodes[value].shape == self.plan.nodes[node].shape and self._is_done(value, node):
                self.free.remove(value)
                return value
        return None

    def become(self, node: int, streams: Iterable[int]) -> int | None:
        """The one of `streams`, with a slot a step, in whose memory a product's sum may lie until a loop makes it; else None.

        All that read the sum are in that loop, at the same step and no later.
        """
        readers = self.readers.get(node, ())
        if node in self.read_whole or not readers or OPS[self.plan.nodes[node].op].kind not in ("product", "point"):
            return None
        for value in streams:
            if value in self.hosts or value not in self.order or not self.plan.phases[self.stage_of[value][0]].is_loop:
                continue
            alike = self.plan.nodes[value].shape == self.plan.nodes[node].shape and OPS[self.plan.nodes[value].op].kind == "point"
            if alike and self._is_done(node, value):
                self.hosts.add(value)
                return value
        return None

    def _is_done(self, value: int, node: int) -> bool:
        """Every reader runs before the node does, or is the node."""
        phase, stage = self.stage_of[node]
        for reader in self.readers.get(value, ()):
            at, kind = self.stage_of.get(reader), OPS[self.plan.nodes[reader].op].kind
            # A view (slice) is read later than it is made; a form or another phase reads the whole stream.
            if at is None or at[0] != phase or at[1] > stage or kind not in ("point", "row", "reduce"):
                return False
            if at[1] == stage and self._runs_at(reader) > self.order[node]:
                return False
        return True

    def _runs_at(self, reader: int) -> int:
        """Its place in the stage; arithmetic may be computed with the arithmetic or sum that alone reads it, two on at most."""
        last = self.order[reader]
        for _ in range(2):
            after = self.readers.get(reader, [])
            alone = len(after) == 1 and reader not in self.read_whole
            joins = alone and self.plan.nodes[after[0]].op in (*FUSED_OPS, "batch_sum")
            if self.plan.nodes[reader].op not in FUSED_OPS or not joins:
                break
            reader = after[0]
            last = max(last, self.order.get(reader, last))
        return last
