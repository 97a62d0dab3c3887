"""Runs the plan's phases with torch ops: products off every cycle over all steps at once, loops step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recell.compiler import coins as generator
from recell.compiler.backends.eager.ops import TORCH
from recell.compiler.build import Call, Coins, Forward, Gradients, Variant
from recell.compiler.passes import prepare
from recell.compiler.plan import Phase, StepPlan, stage_nodes
from recell.compiler.planner import plan_step
from recell.compiler.sums import gather_graph
from recell.errors import CellError
from recell.graph.graph import Graph
from recell.graph.ops import OPS
from recell.language.cell import Cell

DTYPES = ("float32", "float64", "float16", "bfloat16")
AUTOGRAD = True  # differentiated by torch, which alone knows the arrays it takes


def make(cell: Cell, sizes: Mapping[str, int], dtype: str, variant: Variant) -> EagerKernel:
    """The kernel of this cell for these sizes, in torch's operators."""
    if cell.uses_time and dtype in ("float16", "bfloat16"):
        # bfloat16 has no 257, float16 no 2049: the count would stand still there.
        raise CellError(f"{cell.name} counts its steps, which {dtype} cannot; came dtype={dtype!r}; write dtype='float32'")
    return EagerKernel(cell, dict(sizes), variant)


@dataclass
class Run:
    """The values of one call: whole streams by node, and what depends on parameters alone."""

    call: Call
    valid: Tensor | None  # (T, N, 1) bool: not padding; None where there is none
    parameters: dict[int, Tensor]
    streams: dict[int, Tensor] = field(default_factory=dict)


class EagerKernel:
    """Differentiable by torch's autograd; it has no backward of its own."""

    def __init__(self, cell: Cell, sizes: dict[str, int], variant: Variant) -> None:
        self.cell, self.sizes, self.variant = cell, sizes, variant

    @cached_property
    def _plan(self) -> tuple[Graph, StepPlan]:
        graph = gather_graph(prepare(self.cell.graph, self.variant))
        return graph, self._step_plan(graph, [])

    @cached_property
    def _trace_plan(self) -> tuple[Graph, StepPlan]:
        graph = prepare(self.cell.graph, self.variant)
        named = [node for _, node in graph.names if graph.nodes[node].shape.is_row]
        return graph, self._step_plan(graph, named)

    def _step_plan(self, graph: Graph, extra: list[int]) -> StepPlan:
        leaves = {p for p, n in enumerate(graph.nodes)
                  if n.shape.is_row and OPS[n.op].kind == "leaf" and n.op not in ("state", "coin")}
        wanted = [*graph.output, *(s.after for s in graph.states), *extra]
        return plan_step(graph.nodes, leaves, [(s.before, s.after) for s in graph.states], wanted, ())

    def forward(self, call: Call, *, save: bool) -> Forward:
        graph, plan = self._plan
        if not call.x.shape[0]:  # no step: what entered comes out
            return Forward(call.x.new_zeros(0, call.x.shape[1], self.cell.output_size(self.sizes)), call.states)
        run = self._run(graph, plan, call)
        parts = [run.streams[o] for o in graph.output]
        y = torch.cat([p.expand(*call.x.shape[:2], p.shape[-1]) for p in parts], -1) if len(parts) > 1 else parts[0]
        if run.valid is not None:
            y = torch.where(run.valid, y, torch.zeros((), dtype=y.dtype, device=y.device))
        return Forward(y, self._last(run, graph))

    def backward(self, saved: Any, dy: Tensor, dstates: tuple[Tensor, ...]) -> Gradients:
        raise CellError("the eager backend is differentiated by torch's autograd; came a call of backward; "
                        "write loss.backward(), or backend='cpu'")

    def trace(self, call: Call) -> dict[str, Tensor]:
        """Every named local and state after the step, (T, N, size); 0 at padding."""
        graph, plan = self._trace_plan
        run = self._run(graph, plan, call)
        names = {name: node for name, node in graph.names if node in run.streams}
        names |= {s.name: s.after for s in graph.states}
        steps, rows = call.x.shape[:2]
        result = {name: run.streams[node].expand(steps, rows, run.streams[node].shape[-1]) for name, node in names.items()}
        if run.valid is None:
            return result
        return {name: torch.where(run.valid, value, torch.zeros_like(value)) for name, value in result.items()}

    # -- one call ---------------------------------------------------------------------------------------------------
    def _run(self, graph: Graph, plan: StepPlan, call: Call) -> Run:
        run = Run(call, _valid(call), self._parameters(graph, call))
        for place, node in enumerate(graph.nodes):
            if node.op in ("input", "elapsed", "mask", "reset"):
                run.streams[place] = self._leaf(node.op, call, run.valid)
        for phase in plan.phases:
            if phase.is_loop:
                self._loop(graph, plan, phase, run)
            else:
                self._everywhere(graph, plan, phase, run)
        return run

    def _leaf(self, op: str, call: Call, valid: Tensor | None) -> Tensor:
        if op == "input":
            # Padding may hold anything, NaN too; 0 stands in for it.
            return call.x if valid is None else torch.where(valid, call.x, torch.zeros_like(call.x))
        stream = {"elapsed": call.elapsed, "mask": call.mask, "reset": call.reset}[op]
        if stream is None:
            return torch.ones(*call.x.shape[:2], 1, dtype=call.x.dtype, device=call.x.device)
        stream = stream.unsqueeze(-1)
        return stream if valid is None else torch.where(valid, stream, torch.ones_like(stream))

    def _parameters(self, graph: Graph, call: Call) -> dict[int, Tensor]:
        values: dict[int, Tensor] = {}
        for place, node in enumerate(graph.nodes):
            if node.shape.is_row:
                continue
            if node.op == "parameter":
                values[place] = call.parameters[node.attributes[0]]
            elif node.op == "constant":
                values[place] = torch.full((), node.attributes[0], dtype=call.x.dtype, device=call.x.device)
            elif node.op == "coin":
                values[place] = self._parameter_coin(graph, place, call)
            elif node.op in ("rows", "columns"):
                start, size = (a.evaluate(self.sizes, least=0) for a in node.attributes)
                values[place] = values[node.inputs[0]].narrow(0 if node.op == "rows" else 1, start, size)
            else:
                values[place] = self._compute(graph, place, [values[i] for i in node.inputs])
        return values

    def _compute(self, graph: Graph, place: int, inputs: list[Tensor]) -> Tensor:
        node = graph.nodes[place]
        if node.op == "concat":
            lead = torch.broadcast_shapes(*(i.shape[:-1] for i in inputs if i.dim() > 1)) if node.shape.is_row else ()
            parts = [i.reshape(1) if i.dim() == 0 else i for i in inputs]
            return torch.cat([p.expand(*lead, p.shape[-1]) for p in parts], -1)
        if node.op == "slice":
            start, size = (a.evaluate(self.sizes, least=0) for a in node.attributes)
            return inputs[0].narrow(-1, start, size)
        return TORCH[node.op](*inputs)

    def _value(self, graph: Graph, plan: StepPlan, place: int, local: dict[int, Tensor], run: Run, t: int | None) -> Tensor:
        if place in local:
            return local[place]
        if not graph.nodes[place].shape.is_row:
            return run.parameters[place]
        return run.streams[place] if t is None else run.streams[place][t]

    def _evaluate(self, graph: Graph, plan: StepPlan, phase: Phase, local: dict[int, Tensor], run: Run, t: int | None) -> None:
        """All nodes of a phase, in order, into `local`: at step t, or over all steps where t is None."""
        def value(place: int) -> Tensor:
            return self._value(graph, plan, place, local, run, t)

        for stage in phase.stages:
            for form in stage.forms:
                total = None if form.initial is None else value(form.initial)
                for p in form.products:
                    matrix = value(p.matrix)
                    product = value(p.operand) @ (matrix if p.transposed else matrix.transpose(-1, -2))
                    total = product if total is None else total + product
                assert total is not None
                local[form.node] = total
            for place in stage.points:
                if graph.nodes[place].op == "coin":
                    local[place] = self._coin(graph, place, run.call, t)
                else:
                    local[place] = self._compute(graph, place, [value(i) for i in graph.nodes[place].inputs])

    def _coin(self, graph: Graph, place: int, call: Call, t: int | None) -> Tensor:
        node = graph.nodes[place]
        rate, per, op_number = node.attributes
        steps, rows = call.x.shape[:2]
        if t is None:
            return torch.stack([self._coin(graph, place, call, step) for step in range(steps)])
        coins, device = self._coins(call), call.x.device
        width = node.shape.dims[0].evaluate(self.sizes) if node.shape.dims else 1
        numbers = torch.arange(rows, device=device) if coins.rows is None else torch.as_tensor(coins.rows, device=device)
        units = torch.arange(width, device=device)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, op_number)
        step = coins.first_step + t if per == "step" else 0
        heads = generator.heads(start, numbers[:, None], units[None], step, rate)
        return heads.to(call.x.dtype)

    def _parameter_coin(self, graph: Graph, place: int, call: Call) -> Tensor:
        """One coin an entry, the same for all rows and steps of the call."""
        node, coins = graph.nodes[place], self._coins(call)
        rate, _, op_number = node.attributes
        shape = tuple(d.evaluate(self.sizes) for d in node.shape.dims)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, op_number)
        return generator.entries(start, shape, lambda n: torch.arange(n, device=call.x.device), rate).to(call.x.dtype)

    def _coins(self, call: Call) -> Coins:
        if call.coins is None:
            raise CellError(f"{self.cell.name} draws coins in training; came no seed; write model.eval() or give coins")
        return call.coins

    def _everywhere(self, graph: Graph, plan: StepPlan, phase: Phase, run: Run) -> None:
        local: dict[int, Tensor] = {}
        self._delay(graph, run, set())
        self._evaluate(graph, plan, phase, local, run, None)
        run.streams.update(local)

    def _delay(self, graph: Graph, run: Run, looped: set[int]) -> None:
        """A state off every cycle is its new value one step later; such states may follow each other."""
        due = [(k, s) for k, s in enumerate(graph.states) if s.before not in run.streams and s.after not in looped]
        while ready := [(k, s) for k, s in due if s.after in run.streams]:
            for k, state in ready:
                run.streams[state.before] = _delayed(run.streams[state.after], run.call.states[k], run)
            due = [pair for pair in due if pair not in ready]

    def _loop(self, graph: Graph, plan: StepPlan, phase: Phase, run: Run) -> None:
        members = {n for stage in phase.stages for n in stage_nodes(stage)}
        # A state may take another's old value inside that one's loop: the leaf is carried on as it is.
        handed = {s.after for s in graph.states if graph.nodes[s.after].op == "state" and plan.level.get(s.after) == phase.level}
        carried = [(k, s) for k, s in enumerate(graph.states) if s.after in members | handed]
        self._delay(graph, run, members | handed)
        current = {s.before: run.call.states[k] for k, s in carried}
        collected: dict[int, list[Tensor]] = {n: [] for n in members | handed}
        steps = run.call.x.shape[0]
        for t in reversed(range(steps)) if run.call.reverse else range(steps):
            local = dict(current)
            self._evaluate(graph, plan, phase, local, run, t)
            for n in collected:
                collected[n].append(local[n])
            for _, state in carried:
                new = local[state.after]
                current[state.before] = new if run.valid is None else torch.where(run.valid[t], new, current[state.before])
        for n, values in collected.items():
            run.streams[n] = torch.stack(values[::-1] if run.call.reverse else values)

    def _last(self, run: Run, graph: Graph) -> tuple[Tensor, ...]:
        """The states after each row's last step in processing order."""
        result = []
        self._delay(graph, run, set())
        for k, state in enumerate(graph.states):
            stream = run.streams[state.after]
            stream = stream.expand(*run.call.x.shape[:2], stream.shape[-1])
            if run.valid is None:
                result.append(stream[0] if run.call.reverse else stream[-1])
                continue
            counts = run.valid.sum(0)[:, 0]  # (N,)
            index = torch.zeros_like(counts) if run.call.reverse else (counts - 1).clamp(min=0)
            picked = stream.gather(0, index[None, :, None].expand(1, -1, stream.shape[-1]))[0]
            result.append(torch.where((counts > 0)[:, None], picked, run.call.states[k]))
        return tuple(result)


def _valid(call: Call) -> Tensor | None:
    if call.active is None:
        return None
    rows = torch.arange(call.x.shape[1], device=call.x.device)
    active = torch.as_tensor(call.active, device=call.x.device)
    return (rows[None] < active[:, None]).unsqueeze(-1)


def _delayed(after: Tensor, initial: Tensor, run: Run) -> Tensor:
    """The state before each step, from its value after each step: shifted by one in processing order."""
    steps, rows = run.call.x.shape[:2]
    after = after.expand(steps, rows, after.shape[-1])
    if not run.call.reverse:
        return torch.cat([initial[None], after[:-1]])
    shifted = torch.cat([after[1:], initial[None]])
    if run.valid is None:
        return shifted
    # A shorter row begins at its own last step: there, too, it reads its initial state.
    follows = torch.cat([run.valid[1:], torch.zeros_like(run.valid[:1])])
    return torch.where(follows, shifted, initial[None].expand_as(shifted))
