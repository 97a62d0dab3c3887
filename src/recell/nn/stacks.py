"""How torch.nn stores a cell's parameters: the gates' rows stacked in one matrix, and two biases that are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recell import cells
from recell.language.cell import Cell
from recell.language.functions import relu

# mode -> for each gate, in torch's order: the author's names of its rows in weight_ih, weight_hh, bias_ih and bias_hh.
# A bias named twice is torch's sum of both.
GATES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "LSTM": tuple((f"W_{gate}", f"U_{gate}", f"b_{gate}", f"b_{gate}") for gate in "ifgo"),
    "GRU": (("W_r", "U_r", "b_r", "b_r"), ("W_z", "U_z", "b_z", "b_z"), ("W_n", "U_n", "b_n", "c_n")),
    "RNN_TANH": (("W", "U", "b", "b"),),
    "RNN_RELU": (("W", "U", "b", "b"),),
}


def cell_of(mode: str, projected: bool = False) -> Cell:
    """The cell behind torch's mode."""
    if mode == "LSTM":
        return cells.get("ProjectedLSTM" if projected else "LSTM")
    if mode == "GRU":
        return cells.get("GRU")
    return cells.get("Elman")(activation=relu) if mode == "RNN_RELU" else cells.get("Elman")


def stored_names(bias: bool, projected: bool) -> tuple[str, ...]:
    """What torch stores for a layer, in the order in which it draws it."""
    biases = ("bias_ih", "bias_hh") if bias else ()
    return ("weight_ih", "weight_hh", *biases, *(("weight_hr",) if projected else ()))


def stored_shapes(mode: str, input_size: int, hidden_size: int, bias: bool,
                  projection: int) -> tuple[tuple[int, ...], ...]:
    """The shapes that belong to `stored_names`."""
    rows = len(GATES[mode]) * hidden_size
    biases = ((rows,), (rows,)) if bias else ()
    projected = ((projection, hidden_size),) if projection else ()
    return ((rows, input_size), (rows, projection or hidden_size), *biases, *projected)


@dataclass(frozen=True)
class Stacks:
    """A `bridge.Packing`: torch's stored tensors on one side, the cell's parameters by name on the other."""

    mode: str
    hidden_size: int
    names: tuple[str, ...]  # the cell's parameters, in the cell's order
    bias: bool
    projected: bool

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rows of the stacks, contiguous views of them; biases that torch keeps in two summands are their sum."""
        gates, rows = GATES[self.mode], self.hidden_size
        found: dict[str, Tensor] = {"V": stored[-1]}
        parts = [stored[0].split(rows), stored[1].split(rows), *self._biases(stored)]
        for index, names in enumerate(gates):
            found.update({name: part[index] for name, part in zip(names[:2], parts[:2], strict=True)})
            summed = names[2] == names[3]
            found[names[2]] = parts[4 if summed else 2][index]
            found[names[3]] = parts[4 if summed else 3][index]
        return tuple([found[name] for name in self.names])

    def _biases(self, stored: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
        """The gates' input biases, recurrent biases, and sums of both."""
        if not self.bias:
            zeros = [stored[0].new_zeros(self.hidden_size)] * len(GATES[self.mode])
            return zeros, zeros, zeros
        rows = self.hidden_size
        return stored[2].split(rows), stored[3].split(rows), (stored[2] + stored[3]).split(rows)

    def collect(self, gradients: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The stacks' gradients; a summed bias hands the same gradient to both summands."""
        found = dict(zip(self.names, gradients, strict=True))
        columns = list(zip(*GATES[self.mode], strict=True))
        stacks = [_stack([found[name] for name in names]) for names in columns[: 4 if self.bias else 2]]
        return (*stacks, found["V"]) if self.projected else tuple(stacks)


def _stack(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def stacks_of(cell: Cell, mode: str, hidden_size: int, bias: bool, projected: bool) -> Stacks:
    """The packing for a cell of torch's."""
    sizes = cell.resolve(1, hidden_size, {"projection": 1} if projected else {})
    names = tuple(parameter.name for parameter in cell.parameters(sizes))
    return Stacks(mode, hidden_size, names, bias, projected)
