"""The forward and the backward program of a plan: what is given, what is kept, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recell.compiler.backends.cpu.emitter import Emitter
from recell.compiler.backends.cpu.library import Program
from recell.compiler.backends.cpu.lower import Lowering, rolling
from recell.compiler.backends.cpu.storage import (
    ROW,
    SLOT_NEW,
    SLOT_PREVIOUS,
    SLOT_ROW,
    SLOT_STEP,
    STEPS,
    STEPS_PLUS_ONE,
    VECTOR,
    Layout,
    Place,
)
from recell.compiler.plan import Plan, StepPlan
from recell.compiler.stash import width

SCALAR_STREAMS = ("elapsed", "mask", "reset")


@dataclass(frozen=True)
class Assembled:
    """A program and the buffers it takes."""

    program: Program
    layout: Layout
    values: tuple[int, ...]  # the parameter values that it reads
    spends: bool  # whether it writes over the stash


@dataclass(frozen=True)
class OutputForm:
    """How y lies in memory: its width, the parts' columns, whether it has a slot more for a state's start, and how many runs
    have their y side by side in one array."""

    columns: tuple[int, ...]
    width: int
    holds_states: bool
    beside: int = 1

    @property
    def leading(self) -> int:
        """Elements from one row to the next."""
        return self.width * self.beside

    @property
    def slots(self) -> str:
        return STEPS_PLUS_ONE if self.holds_states else STEPS

    @property
    def slot(self) -> int:
        return SLOT_NEW if self.holds_states else SLOT_STEP


def output_form(plan: Plan, beside: int = 1) -> OutputForm:
    """How a plan's y lies, alone or beside the y of others."""
    graph = plan.graph
    columns, start = [], 0
    for node in graph.output:
        columns.append(start)
        start += width(graph.nodes[node], plan.sizes)
    return OutputForm(tuple(columns), start, any(s >= 0 for s in graph.output_states), beside)


def state_places(plan: Plan, layout: Layout, form: OutputForm, *, saving: bool, external: bool) -> dict[int, tuple[Place, Place]]:
    """State -> (before, after) in memory for states kept at every step: inside y, or a buffer of their own."""
    graph = plan.graph
    places: dict[int, tuple[Place, Place]] = {}
    for part, state in enumerate(graph.output_states):
        if state >= 0 and state not in places:
            buffer = layout.buffer(("y", 0), form.slots, form.leading)
            size = width(graph.nodes[graph.states[state].before], plan.sizes)
            places[state] = _before_and_after(buffer, form.columns[part], size)
    for state in plan.stash.states if saving else ():
        size = width(graph.nodes[graph.states[state].before], plan.sizes)
        buffer = layout.buffer(("state stream", state), STEPS_PLUS_ONE, size, internal=not external)
        places.setdefault(state, _before_and_after(buffer, 0, size))
    return places


def _before_and_after(buffer: int, column: int, size: int) -> tuple[Place, Place]:
    return Place(buffer, SLOT_PREVIOUS, column, size), Place(buffer, SLOT_NEW, column, size)


def place_leaves(nodes_plan: StepPlan, layout: Layout, plan: Plan) -> None:
    """x and the streams of one number per row."""
    for place, node in enumerate(nodes_plan.nodes):
        if node.op == "input":
            size = width(node, plan.sizes)
            layout.put(place, Place(layout.buffer(("input", 0), STEPS, size), SLOT_STEP, 0, size))
        elif node.op in SCALAR_STREAMS:
            layout.put(place, Place(layout.buffer((node.op, 0), STEPS, 1), SLOT_STEP, 0, 1))


def needs_stream(step: StepPlan, before: int, after: int) -> bool:
    """A state read outside its loop (or kept, or copied whole) must be there at every step."""
    home = step.level.get(after, 0)
    if home % 2 == 0 or before in step.kept:
        return True
    elsewhere = [stage for phase in step.phases if phase.level != home for stage in phase.stages]
    read = {i for stage in elsewhere for n in stage.points for i in step.nodes[n].inputs}
    read |= {p.operand for stage in elsewhere for f in stage.forms for p in f.products}
    read |= {f.initial for stage in elsewhere for f in stage.forms if f.initial is not None}
    read |= {i for _, a, b in step.outers for i in (a, b)}
    chained = any(next_value == before for _, next_value in step.recurrences)
    return chained or before in read or after in read


def forward_program(plan: Plan, form: OutputForm, *, saving: bool, double: bool, halves: bool = False) -> Assembled:
    """Keeps the stash where `saving`; else only the output."""
    step, graph, layout = (plan.saving if saving else plan.forward), plan.graph, Layout()
    place_leaves(step, layout, plan)
    kept = state_places(plan, layout, form, saving=saving, external=False)
    states: dict[int, tuple[Place, Place, Place, Place]] = {}
    for k, state in enumerate(graph.states):
        size = width(graph.nodes[state.before], plan.sizes)
        if k in kept:
            before, after = kept[k]
        elif needs_stream(step, state.before, state.after):
            buffer = layout.buffer(("state stream", k), STEPS_PLUS_ONE, size, internal=True)
            before, after = _before_and_after(buffer, 0, size)
        else:
            before, after = rolling(layout, k, size)
        layout.put(state.before, before)
        if step.level.get(state.after, 0) % 2 and state.after not in {s.before for s in graph.states}:
            layout.put(state.after, after)
        initial = Place(layout.buffer(("initial", k), ROW, size), SLOT_ROW, 0, size)
        final = Place(layout.buffer(("final", k), ROW, size), SLOT_ROW, 0, size)
        states[k] = (initial, before, after, final)
    _place_outputs(plan, layout, form)
    for value in plan.stash.values if saving else ():
        size = width(graph.nodes[value], plan.sizes)
        layout.put(value, Place(layout.buffer(("stash", value), STEPS, size, internal=True), SLOT_STEP, 0, size))
    return _assemble(step, layout, plan, double=double, halves=halves, backward=False, states=states, accumulators={})


def _place_outputs(plan: Plan, layout: Layout, form: OutputForm) -> None:
    """Locals that are read out, and states that stand in the output twice."""
    graph = plan.graph
    seen: set[int] = set()
    for part, (node, state) in enumerate(zip(graph.output, graph.output_states, strict=True)):
        if state >= 0 and state not in seen:
            seen.add(state)
            continue
        buffer = layout.buffer(("y", 0), form.slots, form.leading)
        layout.put(node, Place(buffer, form.slot, form.columns[part], width(graph.nodes[node], plan.sizes)))


def backward_program(plan: Plan, form: OutputForm, *, double: bool, halves: bool = False) -> Assembled:
    """Reads y, the stash and dL/dy, which lies as y; writes dL/dx, the states' gradients and those of the parameter values."""
    step, graph, layout, derived = plan.backward, plan.graph, Layout(), plan.derived
    place_leaves(step, layout, plan)
    for k, (before, after) in state_places(plan, layout, form, saving=True, external=True).items():
        layout.put(graph.states[k].before, before)
        if graph.states[k].after not in layout.places:
            layout.places[graph.states[k].after] = after
    for part, (node, state) in enumerate(zip(graph.output, graph.output_states, strict=True)):
        size = width(graph.nodes[node], plan.sizes)
        if state < 0:
            buffer = layout.buffer(("y", 0), form.slots, form.leading)
            layout.places.setdefault(node, Place(buffer, form.slot, form.columns[part], size))
        dy = layout.buffer(("dy", 0), STEPS, form.leading)
        layout.put(derived.output_adjoints[part], Place(dy, SLOT_STEP, form.columns[part], size))
    for value in plan.stash.values:
        size = width(graph.nodes[value], plan.sizes)
        layout.places[value] = Place(layout.buffer(("stash", value), STEPS, size), SLOT_STEP, 0, size)
    states = _adjoint_states(plan, step, layout)
    if derived.input_gradient is not None:
        size = width(step.nodes[derived.input_gradient], plan.sizes)
        layout.put(derived.input_gradient, Place(layout.buffer(("dx", 0), STEPS, size), SLOT_STEP, 0, size))
    accumulators = {}
    for _, parts in derived.reductions:
        for part in parts:
            if step.nodes[part].op == "batch_sum":
                accumulators[part] = layout.buffer(("gradient", part), VECTOR, width(step.nodes[part], plan.sizes))
    return _assemble(step, layout, plan, double=double, halves=halves, backward=True, states=states, accumulators=accumulators,
                     spendable=plan.stash.values)


def _adjoint_states(plan: Plan, step: StepPlan, layout: Layout) -> dict[int, tuple[Place, Place, Place, Place]]:
    """dL/d(state): what enters a backward step is the adjoint after the step, what leaves it the one before."""
    states: dict[int, tuple[Place, Place, Place, Place]] = {}
    for r, (k, leaf, node) in enumerate(plan.derived.state_adjoints):
        size = width(step.nodes[leaf], plan.sizes)
        if needs_stream(step, leaf, node):
            buffer = layout.buffer(("adjoint stream", k), STEPS_PLUS_ONE, size, internal=True)
            entering, leaving = Place(buffer, SLOT_NEW, 0, size), Place(buffer, SLOT_PREVIOUS, 0, size)
        else:
            entering, leaving = rolling(layout, k, size)
        layout.put(leaf, entering)
        computed = step.level.get(node, 0) % 2 == 1 and node not in step.given and node not in {b for b, _ in step.recurrences}
        if computed:
            layout.put(node, leaving)
        initial = Place(layout.buffer(("dfinal", k), ROW, size), SLOT_ROW, 0, size)
        final = Place(layout.buffer(("dinitial", k), ROW, size), SLOT_ROW, 0, size)
        states[r] = (initial, entering, leaving, final)
    return states


def _assemble(step: StepPlan, layout: Layout, plan: Plan, *, double: bool, halves: bool, backward: bool,
              states: Mapping[int, tuple[Place, Place, Place, Place]], accumulators: Mapping[int, int],
              spendable: Sequence[int] = ()) -> Assembled:
    emitter = Emitter(double=double, halves=halves)
    lowering = Lowering(step, layout, plan.sizes, emitter, backward=backward, states=states, accumulators=accumulators,
                        spendable=spendable)
    lowering.emit()
    values = tuple(node for kind, node in layout.index if kind == "value")
    return Assembled(emitter.finish(len(layout.buffers)), layout, values, lowering.spends)


