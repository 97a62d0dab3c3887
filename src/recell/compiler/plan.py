"""THE contract every backend gets: what runs in a time loop, what runs over all steps at once, in which order.

One placement rule (`placement.py`): a value runs inside a loop only if it lies on a cycle through a state; a product off
every cycle runs over all steps at once, before, between or after the loops; pointwise work joins the loop that reads it.
Levels number the phases: even ones run everywhere at once, odd ones are loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recell.compiler import backward as derivation
from recell.compiler import stash as stashing
from recell.compiler.guards import Guard, Guards
from recell.graph.graph import Graph, Node


@dataclass(frozen=True)
class Product:
    """One `matrix @ operand`; `transposed`: the matrix's transpose is meant. Rows without its guard may go without it."""

    matrix: int
    transposed: bool
    operand: int
    guard: Guard | None = None


@dataclass(frozen=True)
class Form:
    """A sum of products formed at once: node = initial + sum of matrix @ operand."""

    node: int
    products: tuple[Product, ...]
    initial: int | None  # a parameter vector or a value that is there already


@dataclass(frozen=True)
class Stage:
    """Forms, then pointwise work (and whole-row ops, and sums over the batch) in order."""

    forms: tuple[Form, ...]
    points: tuple[int, ...]


@dataclass(frozen=True)
class Phase:
    """Stages of one level: a loop over time, or everywhere at once."""

    level: int
    stages: tuple[Stage, ...]

    @property
    def is_loop(self) -> bool:
        """Whether the stages run step by step."""
        return self.level % 2 == 1


@dataclass(frozen=True)
class StepPlan:
    """How one step graph (forward or backward) runs over a sequence."""

    nodes: tuple[Node, ...]
    phases: tuple[Phase, ...]
    recurrences: tuple[tuple[int, int], ...]  # (leaf before the step, node after it), those that are needed
    given: frozenset[int]  # leaves and kept values: streams that are there before the plan runs
    kept: frozenset[int]  # values that the caller wants as streams
    outers: tuple[tuple[int, int, int], ...]  # (outer node, left, right): summed over all steps at the end
    level: Mapping[int, int]
    outer_guards: Mapping[int, Guard] = field(default_factory=dict[int, Guard])  # outer node -> where it is not 0
    needs: Mapping[int, Guards] = field(default_factory=dict[int, Guards])  # where anybody needs a given value

    def readers(self) -> dict[int, list[int]]:
        """Node -> the nodes that read its value when the plan runs; the shape that a coin takes from its input is no reading."""
        table: dict[int, list[int]] = {}
        for phase in self.phases:
            for stage in phase.stages:
                for node in stage_nodes(stage):
                    for i in self.nodes[node].inputs if self.nodes[node].op != "coin" else ():
                        table.setdefault(i, []).append(node)
                for form in stage.forms:
                    for condition in {p.guard.condition for p in form.products if p.guard}:
                        table.setdefault(condition, []).append(form.node)
        return table


def stage_nodes(stage: Stage) -> list[int]:
    """The nodes that a stage computes, its products first."""
    return [*(f.node for f in stage.forms), *stage.points]


@dataclass(frozen=True)
class Plan:
    """Both steps of a cell for one variant and one set of sizes."""

    graph: Graph  # the prepared forward step
    forward: StepPlan  # keeps nothing but the output
    saving: StepPlan  # keeps the stash too
    derived: derivation.Backward
    backward: StepPlan
    stash: stashing.Stash
    sizes: Mapping[str, int]
