"""`Step`: one step of any cell, as torch.nn.LSTMCell is one step of an LSTM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from recell.errors import ShapeError
from recell.language.cell import Cell
from recell.nn.batch import checked_input
from recell.nn.bridge import Runner
from recell.nn.calls import Place, Streams
from recell.nn.init import Init
from recell.nn.layers import by_name, check_state_names, draw_seed, enter_state, fill_named, leave_state
from recell.nn.packing import Packing
from recell.nn.recurrent import as_cell, initialise_all, make_parameters


class OneStep(nn.Module):
    """A cell, its sizes and its stored parameters. Abstract: a subclass registers what `_stored_names` names."""

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, sizes: Mapping[str, int] | None = None,
                 backend: str = "auto", packing: Packing | None = None) -> None:
        super().__init__()
        self.cell, self.input_size, self.hidden_size, self.backend = cell, input_size, hidden_size, backend
        self._runner = Runner(cell, cell.resolve(input_size, hidden_size, sizes), backend, packing)
        self._stored_names: tuple[str, ...] = ()

    def _stored(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._stored_names]

    def parameter(self, name: str) -> Tensor:
        """A parameter by its author's name, or a view of the stack that holds it."""
        return by_name(self._runner, self._stored(), name)

    def initialize(self, **inits: Init) -> Self:
        """Fill parameters by their author's names, as `Recurrent.initialize` does."""
        for key, init in inits.items():
            fill_named(self._runner, self._stored(), key, init)
        return self

    def _step(self, x: object, given: Mapping[str, Tensor],
              elapsed: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """y and the new states for x (N, input) or (input,); states missing in `given` start at the cell's value."""
        stored = self._stored()
        x = checked_input(x, stored[0], self.input_size, (1, 2))
        unbatched = x.dim() == 1
        rows = x.unsqueeze(0) if unbatched else x
        states = [self._enter_state(index, given, rows, unbatched) for index in range(len(self.cell.states))]
        streams = Streams(elapsed=self._enter_elapsed(elapsed, rows, unbatched), seed=draw_seed(self))
        y, new = self._runner(rows.unsqueeze(0), states, stored, streams, Place())
        return y[0, 0] if unbatched else y[0], self._leave_states(new, unbatched)

    def _leave_states(self, new: Sequence[Tensor], unbatched: bool) -> dict[str, Tensor]:
        pairs = zip(self.cell.states, new, strict=True)
        return {state.name: leave_state(state.name, value[0] if unbatched else value) for state, value in pairs}

    def _enter_state(self, index: int, given: Mapping[str, Tensor], x: Tensor, unbatched: bool) -> Tensor:
        state, size = self.cell.states[index], self._runner.state_sizes[index]
        value = given.get(state.name)
        if value is None:
            return x.new_full((x.shape[0], size), state.initial)
        expected = (size,) if unbatched else (x.shape[0], size)
        if not isinstance(value, Tensor) or tuple(value.shape) != expected:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(f"state {state.name} is {came}; give a tensor {expected}")
        value = enter_state(state.name, value, x)
        return value.unsqueeze(0) if unbatched else value

    def _enter_elapsed(self, elapsed: Tensor | None, x: Tensor, unbatched: bool) -> Tensor | None:
        if elapsed is None:
            return None
        if not self.cell.uses_elapsed:
            raise ShapeError(f"{self.cell.name} reads no elapsed time (no argument dt); write elapsed=None")
        if tuple(elapsed.shape) != (() if unbatched else (x.shape[0],)):
            raise ShapeError(f"elapsed has the shape {tuple(elapsed.shape)}; give one number per row of x")
        return elapsed.detach().to(x, copy=True).reshape(1, -1)


class Step(OneStep):
    """One step of any cell; its parameters bear their author's names alone: `U_f`."""

    def __init__(self, cell: Cell | str, input_size: int, hidden_size: int, *, sizes: Mapping[str, int] | None = None,
                 backend: str = "auto", device: torch.device | str | None = None,
                 dtype: torch.dtype | None = None) -> None:
        cell = as_cell(cell)
        super().__init__(cell, input_size, hidden_size, sizes, backend)
        self._stored_names = make_parameters(self, cell, self._runner.sizes, hidden_size, "", device, dtype)

    def reset_parameters(self) -> None:
        """Draw every parameter anew, as the constructor did."""
        initialise_all(self, self.cell, self._runner.sizes, self._stored_names, self.hidden_size)

    def forward(self, x: Tensor, state: Mapping[str, Tensor] | None = None, *,
                elapsed: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """y (N, output) and the new state, a dict of name -> (N, size), for x (N, input).

        A single row (input,) gives y (output,) and states (size,). States left out start at the cell's initial value.
        `elapsed` (N,): the time since the step before.
        """
        if state is not None:
            check_state_names(self.cell, state)
        return self._step(x, state or {}, elapsed)

    def extra_repr(self) -> str:
        """The cell and its sizes."""
        return f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
