"""A cell's kernel on the processor: packed products, fused steps, deferred weight gradients, in the native runtime."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from recell.compiler.backends.cpu import arrays, outputs
from recell.compiler.backends.cpu.assemble import Assembled, OutputForm, backward_program, forward_program, output_form
from recell.compiler.backends.cpu.library import CallArguments, Run, run_all, thread_count
from recell.compiler.backends.cpu.stream import Packed, Stream
from recell.compiler.backends.cpu.workspace import Block
from recell.compiler.build import Call, Coins, Forward, Gradients, Variant
from recell.compiler.parameters import ParameterGradients, ParameterValues
from recell.compiler.plan import Plan
from recell.compiler.planner import make_plan
from recell.errors import CellError
from recell.language.cell import Cell

DTYPES = ("float32", "float64", "bfloat16")  # bfloat16: products in bf16, everything else, arrays too, in float32
COSTLY_COPY = 1 << 14  # elements: a smaller array is copied sooner than it is found out where it lies
Result = TypeVar("Result", Forward, Gradients)
Prepared = tuple[Run, Callable[[], Result]]  # a run, and what is left to do after it
Key = tuple[str, int]  # what a buffer is, and of which node or state


def make(cell: Cell, sizes: Mapping[str, int], dtype: str, variant: Variant) -> CpuKernel:
    """The kernel of this cell for these sizes; CellError where the backend cannot run it."""
    return CpuKernel(cell, dict(sizes), dtype, variant)


@dataclass
class Saved:
    """What backward reads: the call, y with its states' slots, the parameter values, the stash."""

    call: Call
    y: Any  # as the kernel wrote it: may have a slot more than the y that the caller got
    form: OutputForm  # how it lies
    values: dict[int, Any]
    stash: dict[Key, int]  # buffer key -> address inside `block`
    block: Block
    is_spent: bool = False  # backward has written over the stash


class CpuKernel:
    """Programs are built at first use and then shared by all calls; nothing of a call stays in them."""

    def __init__(self, cell: Cell, sizes: dict[str, int], dtype: str, variant: Variant) -> None:
        self.cell, self.sizes, self.variant = cell, sizes, variant
        self.double, self.halves = dtype == "float64", dtype == "bfloat16"
        self.item = 8 if self.double else 4
        self.plan: Plan = make_plan(cell, sizes, variant)
        self.form = output_form(self.plan)
        self._programs: dict[tuple[str, int], Assembled] = {}

    def program(self, kind: str, form: OutputForm) -> Assembled:
        """The program of a kind, "inference", "saving" (the stash) or "backward", for a y of this form."""
        found = self._programs.get((kind, form.beside))
        if found is None:
            number: dict[str, bool] = {"double": self.double, "halves": self.halves}
            found = backward_program(self.plan, form, **number) if kind == "backward" else forward_program(
                self.plan, form, saving=kind == "saving", **number)  # fmt: skip
            self._programs[kind, form.beside] = found
        return found

    @cached_property
    def _values(self) -> ParameterValues | None:
        """What is computed of parameters alone; None where the programs and gradients read leaf parameters only."""
        graph = self.plan.graph
        epilogue = {i for n in self.plan.derived.nodes[len(graph.nodes):] if not n.shape.is_row for i in n.inputs}
        epilogue = {i for i in epilogue if i < len(graph.nodes) and not graph.nodes[i].shape.is_row}
        read = {*self.program("saving", self.form).values, *self.program("backward", self.form).values, *epilogue}
        if all(graph.nodes[i].op in ("parameter", "constant", "extent") for i in read):
            return None
        return ParameterValues(graph.nodes, self.sizes, sorted(read))

    @cached_property
    def _gradients(self) -> ParameterGradients:
        return ParameterGradients(self.plan.derived, [p.trainable for p in self.plan.graph.parameters], self.sizes)

    # -- forward ----------------------------------------------------------------------------------------------------
    def forward(self, call: Call, *, save: bool) -> Forward:
        return self.forward_all([call], save=save)[0]

    def forward_all(self, calls: Sequence[Call], *, save: bool) -> list[Forward]:
        """The forward passes of calls that know nothing of each other, side by side where that is faster."""
        return _all([self._prepare_forward(call, save, self._base(call), self.form) for call in calls])

    def forward_joined(self, calls: Sequence[Call], *, save: bool) -> tuple[Any, list[Forward]]:
        """`forward_all` of calls over one x, and one y (T, N, calls * output) of all."""
        if any(self._shows_start(call) for call in calls):
            found = self.forward_all(calls, save=save)
            return arrays.side_by_side([one.y for one in found]), found
        form, first = replace(self.form, beside=len(calls)), calls[0]
        y, parts = outputs.shared(first.x, form, [call.reverse for call in calls], zero=first.active is not None)
        return y, _all([self._prepare_forward(call, save, part, form) for call, part in zip(calls, parts, strict=True)])

    def _base(self, call: Call) -> Any:
        """Memory for y, with a slot more for its states' start."""
        steps, rows = call.x.shape[:2]
        return arrays.empty(call.x, (steps + int(self.form.holds_states), rows, self.form.width), zero=call.active is not None)

    def _prepare_forward(self, call: Call, save: bool, base: Any, form: OutputForm) -> Prepared[Forward]:
        assembled = self.program("saving" if save else "inference", form)
        steps, rows = call.x.shape[:2]
        finals = tuple(arrays.empty(call.x, (rows, size)) for size in self._state_sizes)
        values = self._parameter_values(call.parameters, call.coins)
        block, inside = self._workspace(assembled, steps, rows)
        found = self._inputs(call, values) | {("y", 0): base}
        found |= {("initial", k): s for k, s in enumerate(call.states)} | {("final", k): s for k, s in enumerate(finals)}
        run = self._bound(assembled, call, found, inside, block)

        def finish() -> Forward:
            saved = Saved(call, base, form, values, inside, block) if save else None
            return Forward(self._user_output(base, call) if form.beside == 1 else None, finals, saved)

        return run, finish

    def _user_output(self, base: Any, call: Call) -> Any:
        steps = call.x.shape[0]
        if not self.form.holds_states:
            return base
        y = arrays.steps_of(base, 0 if call.reverse else 1, steps)
        if not self._shows_start(call):
            return y
        y = arrays.copy_of(y)
        lengths = (np.asarray(call.active)[:, None] > np.arange(y.shape[1])).sum(0)
        shorter = lengths < steps
        arrays.as_numpy(y)[lengths[shorter], shorter.nonzero()[0]] = 0
        return y

    def _shows_start(self, call: Call) -> bool:
        """Whether y's padding is not all 0 as the caller wants it: in the reverse direction a shorter row's start lies there,
        behind its last step."""
        reads_back = self.form.holds_states and call.reverse and call.active is not None
        return reads_back and any(arrays.as_numpy(state).any() for state in call.states)

    def _parameter_values(self, parameters: Sequence[Any], coins: Coins | None) -> dict[int, Any]:
        graph = self.plan.graph
        leaves = {p.node: parameters[i] for i, p in enumerate(graph.parameters)}
        if self._values is None:
            return leaves
        known = {place: arrays.as_numpy(a) for place, a in leaves.items()}
        dtype = np.dtype(np.float64 if self.double else np.float32)
        computed = self._values.evaluate(known, dtype, coins or Coins(0, 0, 0))
        return {place: np.asarray(a, order="C") for place, a in computed.items()}

    def _inputs(self, call: Call, values: Mapping[int, Any]) -> dict[Key, Any]:
        found = {("value", node): value for node, value in values.items()}
        found[("input", 0)] = call.x
        for name in ("elapsed", "mask", "reset"):
            stream = getattr(call, name)
            if stream is None and name == "elapsed" and self.cell.uses_elapsed:
                stream = np.ones(tuple(call.x.shape[:2]), np.float64 if self.double else np.float32)
            if stream is not None:
                found[(name, 0)] = stream
        return found

    def _workspace(self, assembled: Assembled, steps: int, rows: int) -> tuple[Block, dict[Key, int]]:
        """One block for all internal buffers of a run."""
        sizes = assembled.layout.internal_bytes(steps, rows, self.item)
        block = Block(sum(sizes.values()))
        return block, dict(zip(sizes, itertools.accumulate(sizes.values(), initial=block.address), strict=False))

    def _bound(self, assembled: Assembled, call: Call, found: Mapping[Key, Any], inside: Mapping[Key, int], block: Block) -> Run:
        """The run of a program on these arrays and on what lies inside its workspace, the block."""
        pointers: list[int] = []
        for key in assembled.layout.index:
            if key in inside:
                pointers.append(inside[key])
            elif key in found:
                pointers.append(arrays.address(found[key]))
            else:
                raise CellError(f"{self.cell.name} needs {key[0]} in this call; came none; give it to forward")
        active = _whole_numbers(call.active)
        coins = call.coins or Coins(0, 0, 0)
        numbers = _whole_numbers(coins.rows)
        steps, rows = call.x.shape[:2]
        arguments = CallArguments(steps, rows, int(call.reverse), _address(active), _address(numbers),
                                  coins.seed, coins.layer, coins.direction, thread_count(), 0, None, coins.first_step)
        return Run(assembled.program, pointers, arguments, (found, active, numbers, block))

    # -- single steps -----------------------------------------------------------------------------------------------
    def packed(self, parameters: Sequence[Any]) -> Packed:
        """The program of a step without gradient, with these parameters (NumPy arrays) packed, for any number of streams."""
        assembled = self.program("inference", self.form)
        values = {("value", node): as_array for node, as_array in self._parameter_values(parameters, None).items()}
        return Packed(assembled.program, assembled.layout, values)

    def bind(self, stream: Stream, packed: Packed, x: Any, states: Sequence[Any]) -> Any:
        """Adds a step to a stream: reads x (rows, input), moves states (rows, size) on in place; returns its y (rows, output)."""
        rows = len(x)
        base = np.zeros((1 + int(self.form.holds_states), rows, self.form.width), x.dtype)
        buffers = {("input", 0): x, ("y", 0): base, ("elapsed", 0): np.ones((1, rows), x.dtype)}
        for k, state in enumerate(states):
            buffers |= {("initial", k): state, ("final", k): state}
        stream.add(packed, rows, buffers)
        return base[-1]

    # -- backward ---------------------------------------------------------------------------------------------------
    def backward(self, saved: Saved, dy: Any, dstates: tuple[Any, ...]) -> Gradients:
        """Gradients of sum(y * dy) + sum(states * dstates).

        May be called again on the same `saved`: the stash, written over by the first call, is then made anew.
        """
        return self.backward_all([saved], [(dy, dstates)])[0]

    def backward_all(self, saved: Sequence[Saved], seeds: Sequence[tuple[Any, tuple[Any, ...]]]) -> list[Gradients]:
        """The backward passes of calls that know nothing of each other, side by side where that is faster."""
        return _all([self._prepare_backward(one, *seed) for one, seed in zip(saved, seeds, strict=True)])

    def _prepare_backward(self, saved: Saved, dy: Any, dstates: tuple[Any, ...]) -> Prepared[Gradients]:
        if saved.is_spent:
            saved = self.forward(saved.call, save=True).saved
        call, assembled = saved.call, self.program("backward", saved.form)
        saved.is_spent = assembled.spends
        steps, rows = call.x.shape[:2]
        # Nothing writes the gradient of padding, nor that of an x which the cell never reads.
        untouched = call.active is not None or self.plan.derived.input_gradient is None
        dx = arrays.empty(call.x, tuple(call.x.shape), zero=untouched) if self.variant.input_gradient else None
        starts = self._state_gradients(call.x, rows)
        block, inside = self._workspace(assembled, steps, rows)
        sums = self._sums(call)
        found = self._inputs(call, saved.values) | {("y", 0): saved.y, ("dy", 0): outputs.lying_as(saved.form, dy)}
        found |= {("dfinal", k): d for k, d in enumerate(dstates)} | {("dinitial", k): d for k, d in enumerate(starts)}
        found |= {("gradient", node): array for node, array in sums.items()}
        if dx is not None:
            found[("dx", 0)] = dx
        run = self._bound(assembled, call, found, {**saved.stash, **inside}, block)

        def finish() -> Gradients:
            return Gradients(dx, starts, self._leaf_gradients(sums, saved))

        return run, finish

    @cached_property
    def _state_sizes(self) -> tuple[int, ...]:
        return self.cell.state_sizes(self.sizes)

    @cached_property
    def _sum_shapes(self) -> dict[int, tuple[int, ...]]:
        """The shapes of the sums over rows and steps, by their nodes."""
        derived = self.plan.derived
        parts = [part for _, nodes in derived.reductions for part in nodes]
        return {part: tuple(d.evaluate(self.sizes) for d in derived.nodes[part].shape.dims) for part in parts}

    def _sums(self, call: Call) -> dict[int, Any]:
        """Memory for the sums over rows and steps. Parameters that lie one after the other, as the rows of a stack do, get
        gradients that do so too: whoever stacked them has the stack's gradient without a copy. Small ones are copied sooner."""
        sums: dict[int, Any] = {}
        for places in self._neighbours(call.parameters) if self._is_plain else ():
            nodes = [self._leaf_sums[place] for place in places]
            lengths = [self._sum_shapes[node][0] for node in nodes]
            whole = arrays.empty(call.x, (sum(lengths), *self._sum_shapes[nodes[0]][1:]))
            ends = list(itertools.accumulate(lengths))
            sums |= {node: whole[end - length : end] for node, length, end in zip(nodes, lengths, ends, strict=True)}
        return {part: sums[part] if part in sums else arrays.empty(call.x, shape) for part, shape in self._sum_shapes.items()}

    @cached_property
    def _leaf_sums(self) -> tuple[int, ...]:
        parts = dict(self.plan.derived.reductions)
        return tuple(parts[p.node][0] for p in self.plan.graph.parameters)

    def _neighbours(self, parameters: Sequence[Any]) -> list[list[int]]:
        """Places of two or more parameters that differ in their first size alone and lie one after the other in memory."""
        found = sorted((arrays.address(parameters[place]), place) for place in self._large)
        groups: list[list[int]] = []
        end, trail = 0, ()
        for address, place in found:
            shape = self._sum_shapes[self._leaf_sums[place]]
            if address == end and shape[1:] == trail:
                groups[-1].append(place)
            else:
                groups.append([place])
            end, trail = address + math.prod(shape) * self.item, shape[1:]
        return [group for group in groups if len(group) > 1]

    @cached_property
    def _large(self) -> tuple[int, ...]:
        """The parameters whose gradients are costly to copy."""
        shapes = [self._sum_shapes[node] for node in self._leaf_sums]
        return tuple(place for place, shape in enumerate(shapes) if math.prod(shape) >= COSTLY_COPY)

    def _state_gradients(self, like: Any, rows: int) -> tuple[Any, ...]:
        """Memory for the initial states' gradients; time has none, so its zeros stay."""
        return tuple(arrays.empty(like, (rows, size), zero=state.size is None)
                     for size, state in zip(self._state_sizes, self.cell.states, strict=True))

    @cached_property
    def _is_plain(self) -> bool:
        """Every leaf's gradient is one sum, so nothing is left to compute."""
        leaves = {value: leaf for leaf, value in self.plan.derived.gradient_leaves}
        parts = dict(self.plan.derived.reductions)
        pairs = zip(self.plan.graph.parameters, self.plan.derived.parameter_gradients, strict=True)
        return all(g is not None and leaves.get(p.node) == g and len(parts[p.node]) == 1 for p, g in pairs)

    def _leaf_gradients(self, sums: Mapping[int, Any], saved: Saved) -> tuple[Any, ...]:
        if self._is_plain:
            return tuple(sums[node] for node in self._leaf_sums)
        values = {node: arrays.as_numpy(v) for node, v in saved.values.items()}
        like = arrays.as_numpy(saved.call.x)
        shapes = [tuple(p.shape) for p in saved.call.parameters]
        found = self._gradients.leaves({n: arrays.as_numpy(a) for n, a in sums.items()}, values, shapes, like)
        return tuple(None if g is None else arrays.from_numpy(np.asarray(g, order="C"), saved.call.x) for g in found)

    def trace(self, call: Call) -> dict[str, Any]:
        raise CellError("the cpu backend keeps no gate; came a call of trace; write backend='eager' or 'reference' for it")


def _all(prepared: Sequence[Prepared[Result]]) -> list[Result]:
    run_all([run for run, _ in prepared])
    return [finish() for _, finish in prepared]


def _whole_numbers(values: Any) -> np.ndarray[Any, Any] | None:
    return None if values is None else np.ascontiguousarray(arrays.as_numpy(values), np.int64)


def _address(array: np.ndarray[Any, Any] | None) -> int | None:
    return None if array is None else array.ctypes.data
