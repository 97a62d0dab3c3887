"""THE contract every backend gets: what runs in a time loop, what runs over all steps at once, in which order.

One placement rule: a value runs inside a loop only if it lies on a cycle through a state; a product off every cycle runs
over all steps at once, before, between or after the loops; pointwise work joins the loop that reads it. Levels number
the phases: even ones run everywhere at once, odd ones are loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recell.compiler import backward as derivation
from recell.compiler import stash as stashing
from recell.compiler.build import Variant
from recell.compiler.guards import NEVER, Facts, Guard, Guards, common, one_of
from recell.compiler.passes import prepare, push_layout, push_scales, push_signs
from recell.compiler.sums import gather
from recell.graph.graph import Graph, Node
from recell.graph.ops import OPS
from recell.language.cell import Cell


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


def gather_graph(graph: Graph) -> Graph:
    """The forward step with products of one operand gathered into one block."""

    from dataclasses import replace

    pinned = {*graph.output, *(s.after for s in graph.states)}
    nodes, place = gather(graph.nodes, pinned)
    return replace(
        graph, nodes=nodes, names=(),
        states=tuple(replace(s, before=place[s.before], after=place[s.after]) for s in graph.states),
        parameters=tuple(replace(p, node=place[p.node]) for p in graph.parameters),
        output=tuple(place[o] for o in graph.output),
    )


def gather_backward(d: derivation.Backward) -> derivation.Backward:
    """The same for the derived backward step."""

    from dataclasses import replace

    pinned = {n for _, _, n in d.state_adjoints} | {p for _, parts in d.reductions for p in parts}
    pinned |= {d.input_gradient} if d.input_gradient is not None else set()
    pinned |= {g for g in d.parameter_gradients if g is not None}
    nodes, place = gather(d.nodes, pinned, fixed=d.forward_count)
    return replace(
        d, nodes=nodes,
        output_adjoints=tuple(place[o] for o in d.output_adjoints),
        state_adjoints=tuple((i, place[a], place[n]) for i, a, n in d.state_adjoints),
        input_gradient=None if d.input_gradient is None else place[d.input_gradient],
        reductions=tuple((v, tuple(place[p] for p in parts)) for v, parts in d.reductions),
        parameter_gradients=tuple(None if g is None else place[g] for g in d.parameter_gradients),
        gradient_leaves=tuple((place[leaf], v) for leaf, v in d.gradient_leaves),
    )


# -- one step ---------------------------------------------------------------------------------------------------------


def plan_step(nodes: tuple[Node, ...], given: Iterable[int], recurrences: Iterable[tuple[int, int]],
              wanted: Iterable[int], reductions: Iterable[int], needs: Mapping[int, Guards] | None = None) -> StepPlan:
    """Places every needed value. `wanted`: streams for the caller; `reductions`: outer and batch_sum nodes.

    `needs`: where the caller needs a wanted value; the others it needs at every row.
    """
    placer = _Placer(nodes, set(given), list(recurrences), list(wanted), list(reductions), needs or {})
    placer.place()
    return placer.result()


class _Placer:
    def __init__(self, nodes: tuple[Node, ...], given: set[int], recurrences: list[tuple[int, int]],
                 wanted: list[int], reductions: list[int], needs: Mapping[int, Guards]) -> None:
        self.nodes, self.given, self.recurrences = nodes, given, recurrences
        self.wanted = wanted
        self.outers = [r for r in reductions if nodes[r].op == "outer"]
        self.batch_sums = [r for r in reductions if nodes[r].op == "batch_sum"]
        self.before = dict(recurrences)
        self.order = self._needed()
        self.readers = self._readers()
        self.group = self._groups()
        self.level: dict[int, int] = {}
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
            if self.nodes[node].op == "product" and node not in self.given:
                found[node] = one_of(self.needs[node] | self._zeros(self.nodes[node].inputs[1]), self.order)
        return {node: guard for node, guard in found.items() if guard}

    def _zeros(self, *factors: int) -> Guards:
        return NEVER.union(*(self.facts.zeros(f) or NEVER for f in factors))

    def _inputs(self, node: int) -> list[int]:
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
                stack.extend(self._inputs(node))
        return sorted(seen)

    def _readers(self) -> dict[int, list[int]]:
        table: dict[int, list[int]] = {node: [] for node in self.order}
        for node in self.order:
            for i in self._inputs(node):
                table[i].append(node)
        return table

    def _groups(self) -> dict[int, int]:
        """Node -> its cycle's number, for nodes that lie on a cycle through a state."""
        from_state: dict[int, int] = {}  # bit k: reached from state k's leaf within the step
        for node in self.order:
            bits = sum(1 << k for k, (b, _) in enumerate(self.recurrences) if b == node)
            for i in self._inputs(node):
                bits |= from_state[i]
            from_state[node] = bits
        to_state: dict[int, int] = {}
        for node in reversed(self.order):
            bits = sum(1 << k for k, (_, a) in enumerate(self.recurrences) if a == node)
            for r in self.readers[node]:
                bits |= to_state[r]
            to_state[node] = bits
        cycle = self._state_cycles(from_state)
        groups: dict[int, int] = {}
        for node in self.order:
            for k in range(len(self.recurrences)):
                if from_state[node] >> k & 1 and to_state[node] & cycle[k]:
                    groups[node] = min(groups.get(node, k), min(i for i in range(len(cycle)) if cycle[k] >> i & 1))
        return groups

    def _state_cycles(self, from_state: dict[int, int]) -> list[int]:
        """Per state: the states of its cycle (bits), 0 if it lies on none."""
        count = len(self.recurrences)
        reach = [0] * count  # bit k of reach[j]: state j's value reaches state k's next value
        for k, (_, after) in enumerate(self.recurrences):
            for j in range(count):
                if from_state[after] >> j & 1:
                    reach[j] |= 1 << k
        for _ in range(count):
            for j in range(count):
                for k in range(count):
                    if reach[j] >> k & 1:
                        reach[j] |= reach[k]
        return [sum(1 << k for k in range(count) if reach[j] >> k & 1 and reach[k] >> j & 1) for j in range(count)]

    # -- levels -----------------------------------------------------------------------------------------------------
    def place(self) -> None:
        self._raise_levels()
        self._join_sums()
        self._sink_points()
        self._pull_products()

    def _raise_levels(self) -> None:
        level = dict.fromkeys(self.order, 0)
        group_level: dict[int, int] = {}
        changed = True
        while changed:
            changed = False
            for node in self.order:
                new = self._lowest(node, level, group_level)
                if new != level[node]:
                    level[node] = new
                    changed = True
        self.level = level

    def _lowest(self, node: int, level: dict[int, int], group_level: dict[int, int]) -> int:
        inputs = max((level[i] for i in self._inputs(node)), default=0)
        if node in self.guards:  # a loop's conditions are there before it begins
            condition = level[self.guards[node].condition]
            inputs = max(inputs, condition + condition % 2)
        if node in self.group:
            group = self.group[node]
            group_level[group] = max(group_level.get(group, 1), inputs | 1)
            return group_level[group]
        if node in self.before and node not in self.given:  # a delay off every cycle: read once its stream is there
            after = level[self.before[node]]
            return after if after % 2 else after + 2
        if self.nodes[node].op == "product" and node not in self.given:
            return inputs + inputs % 2
        return inputs

    def _is_point(self, node: int) -> bool:
        op = self.nodes[node].op
        return (OPS[op].kind in ("point", "row", "layout") or op == "coin") and node not in self.given

    def _join_sums(self) -> None:
        """A product joins the later phase that adds it to products of its own, which saves a stream."""
        for node in self.order:
            if self.nodes[node].op != "product" or node in self.group or node in self.given or len(self.readers[node]) != 1:
                continue
            reader = self.readers[node][0]
            if self.nodes[reader].op == "add" and self.level[reader] % 2 == 0 and node not in self.wanted:
                self.level[node] = self.level[reader]

    def _sink_points(self) -> None:
        free = self._sums_alone()
        loops = {self.level[n] for n in self.group}
        for node in reversed(self.order):
            if node in self.group or not self._is_point(node) or self.level[node] % 2 or node in self.conditions | free:
                continue
            if self._starts_product(node):
                continue
            target = min((self.level[r] for r in self.readers[node] if r not in free), default=0)
            if target % 2 == 0 and not all(i in self.given for i in self._inputs(node)):
                target = target - 1 if target - 1 in loops else 0
            self.level[node] = max(self.level[node], target)
        for node in self.order:
            if node in free:
                self.level[node] = max([self.level[node], *(self.level[i] for i in self._inputs(node))])

    def _starts_product(self, node: int) -> bool:
        """A bias added to a product costs nothing where the product is made: its sum starts from it."""
        n, rows = self.nodes[node], self._inputs(node)
        if n.op != "add" or len(rows) != 1 or any(self.nodes[i].shape.dims != n.shape.dims for i in n.inputs):
            return False
        return self.nodes[rows[0]].op == "product" and rows[0] not in self.given and self.readers[rows[0]] == [node]

    def _sums_alone(self) -> set[int]:
        """Sums over the batch, and what only they read: they are made where their inputs are."""
        streams = {*self.wanted, *self.conditions, *(i for o in self.outers for i in self.nodes[o].inputs)}
        streams |= {after for _, after in self.recurrences}
        free = set(self.batch_sums)
        for node in reversed(self.order):
            alone = bool(self.readers[node]) and all(r in free for r in self.readers[node])
            if alone and self._is_point(node) and node not in self.group and node not in streams:
                free.add(node)
        return free

    def _pull_products(self) -> None:
        """An input product joins the loop where its sum is formed, if that loop has products of its own."""
        loops = {self.level[n] for n in self.group if self.nodes[n].op == "product" and n not in self.given}
        for node in reversed(self.order):
            if self.nodes[node].op != "product" or node in self.group or node in self.given or len(self.readers[node]) != 1:
                continue
            reader = self.readers[node][0]
            if self.nodes[reader].op == "add" and self.level[reader] in loops and node not in self.wanted:
                self.level[node] = self.level[reader]

    # -- stages -----------------------------------------------------------------------------------------------------
    def result(self) -> StepPlan:
        live = [n for n in self.order if n not in self.given and n not in self.before]
        levels = sorted({self.level[n] for n in live})
        phases = tuple(Phase(level, self._stages([n for n in live if self.level[n] == level])) for level in levels)
        outers = tuple((o, self.nodes[o].inputs[0], self.nodes[o].inputs[1]) for o in self.outers)
        return StepPlan(self.nodes, phases, tuple(self.recurrences), frozenset(self.given), frozenset(self.wanted), outers,
                        dict(self.level), {o: self.guards[o] for o in self.outers if o in self.guards},
                        {node: self.needs[node] for node in self.order if node in self.given})

    def _stages(self, members: list[int]) -> tuple[Stage, ...]:
        inside = set(members)
        absorbed, forms = self._forms(members)
        stage: dict[int, int] = {}
        for node in members:
            stage[node] = self._stage_of(node, inside, stage)
        for form in forms.values():
            for product in form.products:
                stage[form.node] = max(stage[form.node], stage.get(product.operand, -1) + 1)
                if product.guard:
                    stage[form.node] = max(stage[form.node], stage.get(product.guard.condition, -1) + 1)
        for node in members:  # what reads a form waits for its last product
            if node not in forms and node not in absorbed:
                stage[node] = self._stage_of(node, inside, stage)
            elif node in forms:
                stage[node] = max(stage[node], self._stage_of(node, inside, stage))
        count = max(stage.values()) + 1
        points = [n for n in members if n not in absorbed and n not in forms]
        stages = [Stage(tuple(f for f in forms.values() if stage[f.node] == k), tuple(n for n in points if stage[n] == k))
                  for k in range(count)]
        return tuple(s for s in stages if s.forms or s.points)

    def _stage_of(self, node: int, inside: set[int], stage: dict[int, int]) -> int:
        inputs = [stage[i] for i in self._inputs(node) if i in inside]
        if self.nodes[node].op == "product":
            return max(inputs, default=-1) + 1
        return max(inputs, default=0)

    def _forms(self, members: list[int]) -> tuple[set[int], dict[int, Form]]:
        """Sums of products: absorbed nodes, and root node -> form. `gather` has put the products first."""
        inside = set(members)
        forms: dict[int, Form] = {}
        absorbed: set[int] = set()
        for node in members:
            op = self.nodes[node].op
            if op == "product":
                forms[node] = Form(node, (self._product(node),), None)
            elif op == "add":
                merged = self._merge(node, forms, inside)
                if merged is not None:
                    for i in self.nodes[node].inputs:
                        if forms.pop(i, None) is not None:
                            absorbed.add(i)
                    forms[node] = merged
        return absorbed, forms

    def _merge(self, node: int, forms: dict[int, Form], inside: set[int]) -> Form | None:
        left, right = self.nodes[node].inputs
        a, b = self._own(left, forms), self._own(right, forms)
        if a is None and b is None:
            return None
        if a is not None and b is not None:
            if a.initial is not None and b.initial is not None:
                return None
            return Form(node, a.products + b.products, a.initial if a.initial is not None else b.initial)
        form, other = (a, right) if a is not None else (b, left)
        assert form is not None
        if form.initial is not None or not self._can_start(node, other, inside):
            return None
        return Form(node, form.products, other)

    def _own(self, node: int, forms: dict[int, Form]) -> Form | None:
        """The form of a node that this sum alone reads."""
        alone = len(self.readers.get(node, ())) == 1 and node not in self.wanted and not self._is_after(node)
        return forms.get(node) if alone else None

    def _is_after(self, node: int) -> bool:
        return any(a == node for _, a in self.recurrences)

    def _can_start(self, node: int, other: int, inside: set[int]) -> bool:
        """A bias, or a stream of an earlier phase, of the sum's own size."""
        o = self.nodes[other]
        if o.shape.dims != self.nodes[node].shape.dims:
            return False
        return not o.shape.is_row or (other not in inside and other not in self.before and o.op == "product")

    def _product(self, node: int) -> Product:
        matrix, operand = self.nodes[node].inputs
        if self.nodes[matrix].op == "transpose":
            return Product(self.nodes[matrix].inputs[0], True, operand, self.guards.get(node))
        return Product(matrix, False, operand, self.guards.get(node))
