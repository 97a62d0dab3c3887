"""From a cell to its plan: both steps are prepared, derived, placed and cut into stages by the same code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recell.compiler import backward as derivation
from recell.compiler import stash as stashing
from recell.compiler.build import Variant
from recell.compiler.guards import NEVER, Guards
from recell.compiler.passes import prepare, push_layout, push_scales, push_signs
from recell.compiler.placement import levels
from recell.compiler.plan import Phase, Plan, StepPlan
from recell.compiler.stages import stages
from recell.compiler.step import Step
from recell.compiler.sums import gather_backward, gather_graph
from recell.graph.graph import Graph, Node
from recell.graph.ops import OPS
from recell.language.cell import Cell


def make_plan(cell: Cell, sizes: Mapping[str, int], variant: Variant) -> Plan:
    """Plans the forward and the derived backward step."""
    graph = gather_graph(push_signs(push_scales(push_layout(prepare(cell.graph, variant)))))
    derived = derivation.derive(graph, input_gradient=variant.input_gradient)
    stash = stashing.choose(graph, derived, sizes)
    derived = gather_backward(derived)
    recurrences = [(s.before, s.after) for s in graph.states]
    leaves = {p for p, n in enumerate(graph.nodes)
              if n.shape.is_row and OPS[n.op].kind == "leaf" and n.op not in ("state", "coin")}
    forward = plan_step(graph.nodes, leaves, recurrences, graph.output, ())
    wanted = [*graph.output, *stash.values, *(graph.states[i].after for i in stash.states)]
    backward = _plan_backward(graph, derived, stash, leaves)
    saving = plan_step(graph.nodes, leaves, recurrences, wanted, (), {v: backward.needs.get(v, NEVER) for v in stash.values})
    return Plan(graph, forward, saving, derived, backward, stash, dict(sizes))


def stash_floats(cell: Cell, sizes: Mapping[str, int]) -> int:
    """Floats a row and step that training keeps for the backward step, row scalars included, x and y excluded."""
    return make_plan(cell, sizes, Variant(training=True)).stash.floats


def _plan_backward(graph: Graph, derived: derivation.Backward, stash: stashing.Stash, leaves: set[int]) -> StepPlan:
    kept_states = [graph.states[i] for i in (*stash.states, *stash.free_states)]
    outputs = {o for o, s in zip(graph.output, graph.output_states, strict=True) if s < 0 and graph.nodes[o].shape.dims}
    given = {*leaves, *stash.values, *outputs, *derived.output_adjoints}
    given |= {place for s in kept_states for place in (s.before, s.after)}
    recurrences = [(leaf, node) for _, leaf, node in derived.state_adjoints]
    wanted = [derived.input_gradient] if derived.input_gradient is not None else []
    # Two parameters may have one gradient (two biases of a sum): it is summed once.
    parts = list(dict.fromkeys(part for _, nodes in derived.reductions for part in nodes))
    return plan_step(derived.nodes, given, recurrences, wanted, parts)


def plan_step(nodes: tuple[Node, ...], given: Iterable[int], recurrences: Iterable[tuple[int, int]],
              wanted: Iterable[int], reductions: Iterable[int], needs: Mapping[int, Guards] | None = None) -> StepPlan:
    """Places every needed value. `wanted`: streams for the caller; `reductions`: outer and batch_sum nodes.

    `needs`: where the caller needs a wanted value; the others it needs at every row.
    """
    step = Step(nodes, set(given), list(recurrences), list(wanted), list(reductions), needs or {})
    level = levels(step)
    live = [n for n in step.order if n not in step.given and n not in step.before]
    phases = tuple(Phase(k, stages(step, [n for n in live if level[n] == k])) for k in sorted({level[n] for n in live}))
    outers = tuple((o, step.nodes[o].inputs[0], step.nodes[o].inputs[1]) for o in step.outers)
    return StepPlan(step.nodes, phases, tuple(step.recurrences), frozenset(step.given), frozenset(step.wanted), outers,
                    dict(level), {o: step.guards[o] for o in step.outers if o in step.guards},
                    {node: step.needs[node] for node in step.order if node in step.given})
