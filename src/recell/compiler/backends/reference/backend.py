"""Interprets a cell's graph step by step in NumPy. It never sees a plan, so it can catch the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recell.compiler.backends.reference.tape import Interpreter
from recell.compiler.build import Call, Coins, Forward, Gradients, Variant
from recell.graph.graph import State
from recell.language.cell import Cell

DTYPES = ("float64", "float32")

Values = list[Any]


def make(cell: Cell, sizes: Mapping[str, int], dtype: str, variant: Variant) -> ReferenceKernel:
    """The kernel of this cell for these sizes, in NumPy and float64."""
    return ReferenceKernel(cell, dict(sizes), np.dtype(dtype), variant)


@dataclass
class Moment:
    """What one step leaves on the tape."""

    t: int
    values: Values
    valid: Any  # (N, 1) bool: the step counts for this row
    present: Any  # (N, 1) bool: the row has this step at all (not padding)
    fresh: Any  # (N, 1) bool: the state was reset


@dataclass
class Tape:
    call: Call
    moments: list[Moment]
    parameter_values: Values


class ReferenceKernel:
    """Every value of every step is kept; clarity before speed."""

    def __init__(self, cell: Cell, sizes: dict[str, int], dtype: np.dtype[Any], variant: Variant) -> None:
        self.cell, self.sizes, self.dtype, self.variant = cell, sizes, dtype, variant
        self.interpreter = Interpreter(cell.graph, sizes, dtype)

    def forward(self, call: Call, *, save: bool) -> Forward:
        y, states, tape = self._run(call)
        return Forward(y, states, tape if save else None)

    def trace(self, call: Call) -> dict[str, Any]:
        """Every state after the step and every named local but those of parameters alone, (T, N, size); 0 at padding."""
        _, _, tape = self._run(call)
        graph = self.cell.graph
        names = {name: node for name, node in graph.names if graph.nodes[node].shape.is_row}
        names |= {s.name: s.after for s in graph.states}
        steps, rows = call.x.shape[:2]
        result: dict[str, Any] = {}
        for name, node in names.items():
            for moment in tape.moments:
                value = np.broadcast_to(moment.values[node], (rows, np.shape(moment.values[node])[-1]))
                result.setdefault(name, np.zeros((steps, rows, value.shape[1]), self.dtype))
                result[name][moment.t] = np.where(moment.present, value, 0)
        return result

    def _run(self, call: Call) -> tuple[Any, tuple[Any, ...], Tape]:
        graph = self.cell.graph
        coins = call.coins if self.variant.training else None
        parameters = self.interpreter.parameters(call.parameters, coins)
        steps, rows = call.x.shape[:2]
        y = np.zeros((steps, rows, self.cell.output_size(self.sizes)), self.dtype)
        states = tuple(np.array(s, self.dtype) for s in call.states)
        tape = Tape(call, [], parameters)
        for t in reversed(range(steps)) if call.reverse else range(steps):
            moment, entering = self._step(call, t, states, parameters, coins)
            states = tuple(np.where(moment.valid, moment.values[s.after], before)
                           for s, before in zip(graph.states, entering, strict=True))
            y[t] = self._output(moment, states)
            tape.moments.append(moment)
        return y, states, tape

    def _step(self, call: Call, t: int, states: tuple[Any, ...], parameters: Values,
              coins: Coins | None) -> tuple[Moment, tuple[Any, ...]]:
        rows = call.x.shape[1]
        present = np.arange(rows)[:, None] < (rows if call.active is None else call.active[t])
        valid = present & (np.asarray(call.mask[t])[:, None] != 0) if call.mask is not None else present
        fresh = present & (np.asarray(call.reset[t])[:, None] != 0) if call.reset is not None else np.zeros_like(present)
        entering = tuple(np.where(fresh, self._initial(s, parameters), value)
                         for s, value in zip(self.cell.graph.states, states, strict=True))
        # A value that does not count must not spoil a sum by being NaN: 0 stands in for x, 1 for the time since the last step.
        x = np.where(valid, call.x[t], 0).astype(self.dtype)
        elapsed = np.ones((rows, 1)) if call.elapsed is None else np.where(valid, np.asarray(call.elapsed[t])[:, None], 1)
        values = self.interpreter.step(x, entering, elapsed, parameters, coins, t)
        return Moment(t, values, valid, present, fresh), entering

    def _initial(self, state: State, parameters: Values) -> Any:
        """What a reset restores: a parameter, or the state's own number."""
        return state.initial if state.restored is None else parameters[self.cell.graph.parameters[state.restored].node]

    def _output(self, moment: Moment, states: tuple[Any, ...]) -> Any:
        parts = []
        for node, state in zip(self.cell.graph.output, self.cell.graph.output_states, strict=True):
            if state >= 0:
                parts.append(np.where(moment.present, states[state], 0))
            else:
                parts.append(np.where(moment.valid, moment.values[node], 0))
        return np.concatenate(parts, axis=1)

    def backward(self, saved: Tape, dy: Any, dstates: tuple[Any, ...]) -> Gradients:
        """Walks the tape backwards; gradients are those of sum(y * dy) + sum(states * dstates)."""
        call = saved.call
        dx = np.zeros_like(np.asarray(call.x, self.dtype))
        sums: dict[int, Any] = {}
        adjoints = tuple(np.array(d, self.dtype) for d in dstates)
        for moment in reversed(saved.moments):
            adjoints = self._step_back(moment, np.asarray(dy[moment.t], self.dtype), adjoints, dx, sums)
        parameters = self.interpreter.parameters_back(saved.parameter_values, sums)
        graph = self.cell.graph
        states = tuple(np.zeros_like(d) if s.size is None else d for s, d in zip(graph.states, adjoints, strict=True))
        return Gradients(dx if self.variant.input_gradient else None, states, parameters)

    def _step_back(self, moment: Moment, dy: Any, adjoints: tuple[Any, ...], dx: Any, sums: dict[int, Any]) -> tuple[Any, ...]:
        graph = self.cell.graph
        after = list(adjoints)
        seeds: dict[int, Any] = {}
        start = 0
        for node, state in zip(graph.output, graph.output_states, strict=True):
            width = moment.values[node].shape[1]
            part = dy[:, start : start + width]
            start += width
            if state >= 0:
                after[state] = after[state] + np.where(moment.present, part, 0)
            else:
                seeds[node] = seeds.get(node, 0) + np.where(moment.valid, part, 0)
        held = [np.where(moment.valid, 0, d) for d in after]
        for s, d in zip(graph.states, after, strict=True):
            if s.size is not None:
                seeds[s.after] = seeds.get(s.after, 0) + np.where(moment.valid, d, 0)
        found = self.interpreter.step_back(moment.values, seeds, sums)
        dx[moment.t] = found.get("input", 0)
        entering = [held[i] + found.get(("state", i), 0) for i in range(len(graph.states))]
        for s, d in zip(graph.states, entering, strict=True):
            if s.restored is not None:
                leaf = graph.parameters[s.restored].node
                sums[leaf] = sums.get(leaf, 0) + np.where(moment.fresh, d, 0).sum(axis=0)
        return tuple(np.where(moment.fresh, 0, d) for d in entering)
