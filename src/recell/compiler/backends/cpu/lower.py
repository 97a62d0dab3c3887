"""A step plan becomes a program of the native runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recell.compiler.backends.cpu.emitter import Emitter
from recell.compiler.backends.cpu.fusion import Fusion, Fusions
from recell.compiler.backends.cpu.reuse import Reuse
from recell.compiler.backends.cpu.storage import (
    ROW,
    SLOT_NEW,
    SLOT_ROLL_NEW,
    SLOT_ROLL_PREVIOUS,
    SLOT_ROW,
    SLOT_STEP,
    SLOT_VECTOR,
    STEPS,
    TWO,
    VECTOR,
    Layout,
    Place,
)
from recell.compiler.guards import Guard
from recell.compiler.plan import Form, Phase, Stage, StepPlan, stage_nodes
from recell.compiler.stash import width
from recell.graph.graph import Node
from recell.graph.ops import OPS

LAYOUT_OPS = ("concat", "slice", "pad")


class Lowering:
    """Emits one program. The caller has placed what is given and kept; the rest is placed here."""

    def __init__(self, plan: StepPlan, layout: Layout, sizes: Mapping[str, int], program: Emitter, *, backward: bool,
                 states: Mapping[int, tuple[Place, Place, Place, Place]], accumulators: Mapping[int, int],
                 spendable: Sequence[int] = ()) -> None:
        self.plan, self.layout, self.sizes, self.program, self.backward = plan, layout, sizes, program, backward
        self.states = states  # recurrence -> initial, previous, next, final
        self.accumulators = accumulators  # batch_sum node -> buffer
        self.stage_of: dict[int, tuple[int, int]] = {}
        for p, phase in enumerate(plan.phases):
            for s, stage in enumerate(phase.stages):
                for node in stage_nodes(stage):
                    self.stage_of[node] = (p, s)
        self.readers = plan.readers()
        self.matrices: dict[tuple[int, bool], int] = {}
        self.operands: dict[Any, int] = {}
        self.spendable = frozenset(spendable)
        self.reuse = Reuse(plan, self.stage_of, self.readers, spendable)
        self.spends = False  # whether a kept value is overwritten
        self._place_scratch()

    # -- places -----------------------------------------------------------------------------------------------------
    def _place_scratch(self) -> None:
        """Memory for what another stage, phase or product reads."""
        products = {p.operand for phase in self.plan.phases for s in phase.stages for f in s.forms for p in f.products}
        outers = {i for _, a, b in self.plan.outers for i in (a, b)} | {g.condition for g in self.plan.outer_guards.values()}
        starts = {f.initial for phase in self.plan.phases for s in phase.stages for f in s.forms}
        delayed = {after for before, after in self.plan.recurrences if self._copy_level(before, after) is not None}
        for node, (p, s) in self.stage_of.items():
            if node in self.layout.places or self.plan.nodes[node].op == "batch_sum":
                continue
            elsewhere = {self.stage_of[r] for r in self.readers.get(node, ()) if r in self.stage_of} - {(p, s)}
            elsewhere |= {self.stage_of[f.node] for phase in self.plan.phases for st in phase.stages for f in st.forms
                          if f.initial == node} - {(p, s)}
            if not elsewhere and node not in products | outers | starts | delayed:
                continue
            near = self.plan.phases[p].is_loop and node not in outers | delayed and all(q == p for q, _ in elsewhere)
            near = near and self._only_here(node, p)
            host = None if near else self.reuse.take(node)
            if host is not None:
                self.layout.put(node, self.layout.places[host])
                self.spends |= host in self.spendable
                continue
            host = None if near else self.reuse.become(node, self._streams())
            if host is not None:
                self.layout.put(node, self.layout.places[host])
                continue
            size = width(self.plan.nodes[node], self.sizes)
            buffer = self.layout.buffer(("scratch", node), ROW if near else STEPS, size, internal=True)
            self.layout.put(node, Place(buffer, SLOT_ROW if near else SLOT_STEP, 0, size))
            if not near:
                self.reuse.offer(node)

    def _streams(self) -> list[int]:
        """What this program makes at every step for the caller: kept values and states."""
        made = [n for n in self.layout.places if n in self.stage_of]
        return sorted(n for n in made if self.layout.places[n].slot in (SLOT_STEP, SLOT_NEW) and not self.backward)

    def _only_here(self, node: int, phase: int) -> bool:
        """No product of another phase reads it."""
        return all(p.operand != node for q, other in enumerate(self.plan.phases) if q != phase
                   for s in other.stages for f in s.forms for p in f.products)

    def _copy_level(self, before: int, after: int) -> int | None:
        """The level of what a state copies, if no loop makes its new value (a delay)."""
        level = self.plan.level.get(after, 0)
        return None if level % 2 else level

    # -- operands ---------------------------------------------------------------------------------------------------
    def memory(self, place: Place) -> int:
        key = ("memory", place)
        if key not in self.operands:
            self.operands[key] = self.program.memory(place.buffer, place.slot, self.layout.buffers[place.buffer].width,
                                                     place.column, place.width)
        return self.operands[key]

    def constant(self, value: float) -> int:
        key = ("constant", value)
        if key not in self.operands:
            self.operands[key] = self.program.constant(value)
        return self.operands[key]

    def outside(self, node: int) -> int | None:
        """The operand of a value that no instruction of this stage computes: in memory, a parameter, or a number."""
        n = self.plan.nodes[node]
        if n.op == "constant":
            return self.constant(n.attributes[0])
        if n.op == "extent":
            return self.constant(float(n.attributes[0].evaluate(self.sizes)))
        if node in self.layout.places:
            return self.memory(self.layout.places[node])
        if not n.shape.is_row:
            size = width(n, self.sizes)
            buffer = self.layout.buffer(("value", node), VECTOR, size)
            return self.memory(Place(buffer, SLOT_VECTOR, 0, size))
        return None

    def matrix(self, node: int, transposed: bool) -> int:
        key = (node, transposed)
        if key not in self.matrices:
            rows, columns = (d.evaluate(self.sizes) for d in self.plan.nodes[node].shape.dims)
            buffer = self.layout.buffer(("value", node), VECTOR, columns)
            self.matrices[key] = self.program.matrix(buffer, 0, rows, columns, columns, transposed)
        return self.matrices[key]

    # -- phases -----------------------------------------------------------------------------------------------------
    def emit(self) -> None:
        """All phases in order, a delay as soon as what it copies is there, the weight gradients last."""
        delays = [(at, k) for k, (before, after) in enumerate(self.plan.recurrences)
                  if k in self.states and (at := self._copy_level(before, after)) is not None]
        for phase in self.plan.phases:
            delays = self._delays(delays, phase.level)
            self._phase(phase)
        self._delays(delays, None)
        self._given_copies()
        self._outers()

    def _given_copies(self) -> None:
        """What the caller wants but no stage computes: a given stream handed on as it is."""
        due = [(node, place) for node, places in self.layout.copies.items() if node not in self.stage_of for place in places]
        if due:
            self.program.everywhere()
        for node, place in due:
            self.program.stage(by_rows=False)
            self.program.point("copy", self.memory(place), self.memory(self.layout.places[node]))

    def _phase(self, phase: Phase) -> None:
        copied: list[int] = []
        if phase.is_loop:
            self.program.loop(self.backward)
            members = {n for s in phase.stages for n in stage_nodes(s)}
            for k, (_, after) in enumerate(self.plan.recurrences):
                if after in members:
                    self._state(k)
                elif self._copied_in(after, phase):
                    self._state(k)
                    copied.append(k)
        else:
            self.program.everywhere()
        for stage in phase.stages:
            for part in self._by_width(stage):
                StageLowering(self, part).emit()
        for k in copied:
            self._copy(k)

    def _state(self, k: int) -> None:
        initial, previous, following, final = self.states[k]
        self.program.state(self.memory(initial), self.memory(previous), self.memory(following), self.memory(final))

    def _copy(self, k: int) -> None:
        self.program.stage(by_rows=False)
        source = self.outside(self.plan.recurrences[k][1])
        assert source is not None
        self.program.point("copy", self.memory(self.states[k][2]), source)

    def _copied_in(self, after: int, phase: Phase) -> bool:
        """A state whose new value is another state's old one, inside that state's loop."""
        return after not in self.stage_of and self.plan.level.get(after, 0) == phase.level

    def _delays(self, delays: list[tuple[int, int]], level: int | None) -> list[tuple[int, int]]:
        """States that are some stream one step later: loops that only copy. Returns those that must still wait."""
        for at, k in sorted(delays):  # a delay of a delay comes after it
            if level is None or at < level:
                self.program.loop(self.backward)
                self._state(k)
                self._copy(k)
        return [(at, k) for at, k in delays if not (level is None or at < level)]

    def _outers(self) -> None:
        if not self.plan.outers:
            return
        self.program.outer()
        for node, a, b in self.plan.outers:
            rows, columns = (d.evaluate(self.sizes) for d in self.plan.nodes[node].shape.dims)
            buffer = self.layout.buffer(("gradient", node), VECTOR, rows * columns)
            left, right = self.outside(a), self.outside(b)
            assert left is not None and right is not None, (self.plan.nodes[a], self.plan.nodes[b])
            self.program.pair(left, right, buffer, 0, columns)
            self.guard(self.plan.outer_guards.get(node))

    def guard(self, guard: Guard | None) -> None:
        """Of the segment or pair emitted last."""
        if guard:
            condition = self.outside(guard.condition)
            assert condition is not None, self.plan.nodes[guard.condition]
            self.program.guard(condition, guard.when)

    def _by_width(self, stage: Stage) -> list[Stage]:
        """Stages whose parts of different widths never meet are run one width after the other, slab by slab."""
        nodes = stage_nodes(stage)
        widths = {self.node_width(n) for n in nodes} - {1}
        if len(widths) < 2 or self.needs_rows(stage) or any(self.node_width(n) == 1 for n in nodes):
            return [stage]
        return [Stage(tuple(f for f in stage.forms if self.node_width(f.node) == w),
                      tuple(n for n in stage.points if self.node_width(n) == w)) for w in sorted(widths)]

    def node_width(self, node: int) -> int:
        n = self.plan.nodes[node]
        return width(self.plan.nodes[n.inputs[0]] if n.op == "batch_sum" else n, self.sizes)

    def needs_rows(self, stage: Stage) -> bool:
        ops = {self.plan.nodes[n].op for n in stage.points}
        return any(OPS[op].kind == "row" or op in LAYOUT_OPS for op in ops)

    def runs_by_rows(self, stage: Stage) -> bool:
        widths = {self.node_width(n) for n in stage_nodes(stage)}
        scalar_sum = any(self.plan.nodes[n].op == "batch_sum" and self.node_width(n) == 1 for n in stage.points)
        return self.needs_rows(stage) or len(widths - {1}) > 1 or 1 in widths or scalar_sum


class StageLowering:
    """Forms, then points. Values that only this stage reads are registers (points) or tiles (forms)."""

    def __init__(self, whole: Lowering, stage: Stage) -> None:
        self.whole, self.stage, self.program = whole, stage, whole.program
        self.nodes = whole.plan.nodes
        self.local: dict[int, int] = {}
        self.wide: dict[tuple[int, int], int] = {}  # (operand, width) -> register with a number per row spread over units
        self.fusions = Fusions(self.nodes, stage.points, whole.readers, whole.layout.places)

    def emit(self) -> None:
        self.program.stage(by_rows=self.whole.runs_by_rows(self.stage))
        for form in self.stage.forms:
            self._form(form)
        for form in self.stage.forms:
            self._further_copies(form.node)
        for node in self.stage.points:
            if node not in self.fusions.absorbed:
                self._point(node)
                self._further_copies(node)

    def _form(self, form: Form) -> None:
        size = width(self.nodes[form.node], self.whole.sizes)
        place = self.whole.layout.places.get(form.node)
        destination = self.program.tile(size) if place is None else self.whole.memory(place)
        self.local[form.node] = destination
        initial = -1 if form.initial is None else self._read(form.initial)
        self.program.form(destination, initial)
        for p in form.products:
            self.program.segment(self.whole.matrix(p.matrix, p.transposed), self._read(p.operand))
            self.whole.guard(p.guard)

    def _further_copies(self, node: int) -> None:
        for place in self.whole.layout.copies.get(node, ()):
            self.program.point("copy", self.whole.memory(place), self._read(node))

    def _read(self, node: int) -> int:
        if node in self.local:
            return self.local[node]
        operand = self.whole.outside(node)
        if operand is None:
            raise AssertionError(f"the plan reads node {node} ({self.nodes[node].op}) before it is there")
        return operand

    def _destination(self, node: int) -> int:
        place = self.whole.layout.places.get(node)
        size = width(self.nodes[node], self.whole.sizes)
        self.local[node] = self.program.register(size) if place is None else self.whole.memory(place)
        return self.local[node]

    def _spread(self, node: int, size: int) -> int:
        """The operand of a value, a number per row (or a parameter that is a number) spread over `size` units."""
        operand = self._read(node)
        n = self.nodes[node]
        if size == 1 or n.op in ("constant", "extent") or width(n, self.whole.sizes) != 1 or n.shape.dims:
            return operand
        if (operand, size) not in self.wide:
            self.wide[operand, size] = self.program.register(size)
            self.program.point("splat", self.wide[operand, size], operand)
        return self.wide[operand, size]

    def _point(self, node: int) -> None:
        n = self.nodes[node]
        handler = getattr(self, f"_emit_{n.op}", None)
        if handler is not None:
            handler(node, n)
        elif node in self.fusions.of:
            self._fused(node, self.fusions.of[node])
        else:
            size = width(n, self.whole.sizes)
            kind = OPS[n.op].kind
            inputs = [self._read(i) if kind == "row" else self._spread(i, size) for i in n.inputs]
            self.program.point(n.op, self._destination(node), *inputs)

    def _fused(self, node: int, fusion: Fusion) -> None:
        size = width(self.nodes[node], self.whole.sizes)
        operands = [self._spread(i, size) for i in fusion.operands]
        self.program.point(fusion.op, self._destination(node), *operands)

    def _emit_batch_sum(self, node: int, n: Node) -> None:
        buffer = self.whole.accumulators[node]
        size = width(self.nodes[n.inputs[0]], self.whole.sizes)
        fusion = self.fusions.of.get(node)
        total = self.program.accumulator(buffer, 0, size)
        if fusion:
            self.program.point(fusion.op, total, *(self._spread(i, size) for i in fusion.operands))
        else:
            self.program.point("accumulate", total, self._read(n.inputs[0]))

    def _emit_coin(self, node: int, n: Node) -> None:
        rate, per, op_number = n.attributes
        self.program.point("coin", self._destination(node), -1, self.whole.constant(rate),
                           immediate=op_number * 2 + (per == "step"))

    def _emit_splat(self, node: int, n: Node) -> None:
        self.program.point("splat", self._destination(node), self._read(n.inputs[0]))

    def _emit_slice(self, node: int, n: Node) -> None:
        start, size = (a.evaluate(self.whole.sizes, least=0) for a in n.attributes)
        view = self.program.view(self._read(n.inputs[0]), start, size)
        if node in self.whole.layout.places:
            self.program.point("copy", self._destination(node), view)
        else:
            self.local[node] = view

    def _emit_concat(self, node: int, n: Node) -> None:
        target = self._destination(node)
        start = 0
        for i in n.inputs:
            size = width(self.nodes[i], self.whole.sizes)
            self.program.point("copy", self.program.view(target, start, size), self._read(i))
            start += size

    def _emit_pad(self, node: int, n: Node) -> None:
        target = self._destination(node)
        whole = width(n, self.whole.sizes)
        inner = width(self.nodes[n.inputs[0]], self.whole.sizes)
        start = n.attributes[0].evaluate(self.whole.sizes, least=0)
        for begin, size in ((0, start), (start + inner, whole - start - inner)):
            if size:
                self.program.point("copy", self.program.view(target, begin, size), self.whole.constant(0.0))
        self.program.point("copy", self.program.view(target, start, inner), self._read(n.inputs[0]))


def rolling(layout: Layout, key: int, size: int) -> tuple[Place, Place]:
    """Two slots used in turn: (previous, next) of a state that nobody else reads."""
    buffer = layout.buffer(("rolling", key), TWO, size, internal=True)
    return Place(buffer, SLOT_ROLL_PREVIOUS, 0, size), Place(buffer, SLOT_ROLL_NEW, 0, size)
