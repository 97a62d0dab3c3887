"""A cell over one short sequence, in float64 by the definition (backend `reference`): NumPy alone, every value kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recell.compiler.build import Call, Forward, Kernel, build
from recell.language.cell import Cell

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """What a sequence x (T, input) has left: `values` by the author's names, (T, size) each, and the output y (T, output)."""

    cell: Cell
    kernel: Kernel
    call: Call
    forward: Forward
    values: dict[str, Array]

    @property
    def y(self) -> Array:
        return self.forward.y[:, 0]

    def before(self, state: str) -> Array:
        """A state (T, size) as each step found it."""
        index = [known.name for known in self.cell.states].index(state)
        return np.concatenate([self.call.states[index], self.values[state][:-1]])

    def gradients(self, dy: ArrayLike) -> dict[str, Array]:
        """dL/dparameter by its name, from dy (T, output) = dL/dy."""
        states = tuple(np.zeros_like(state) for state in self.call.states)
        found = self.kernel.backward(self.forward.saved, np.asarray(dy, float)[:, None], states)
        pairs = zip(self.cell.graph.parameters, found.parameters, strict=True)
        return {info.name: gradient for info, gradient in pairs if gradient is not None}


def run(
    cell: Cell,
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    *,
    hidden: int = 1,
    sizes: Mapping[str, int] | None = None,
) -> Run:
    """The cell over x (T, input), from its own initial states, with these parameters by the author's names."""
    x = np.asarray(x, float)
    numbers = cell.resolve(x.shape[1], hidden, sizes)
    kernel = build(cell, numbers, backend="reference", dtype="float64")
    weights = tuple(np.asarray(parameters[info.name], float).reshape(info.shape) for info in cell.parameters(numbers))
    initial = zip(cell.states, cell.state_sizes(numbers), strict=True)
    states = tuple(np.full((1, size), state.initial) for state, size in initial)
    call = Call(x[:, None], states, weights)
    traced = {name: value[:, 0] for name, value in kernel.trace(call).items()}
    return Run(cell, kernel, call, kernel.forward(call, save=True), traced)
