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
    """A `packing.Packing`: torch's stored tensors on one side, the cell's parameters in the cell's order on the other."""

    gates: int
    hidden_size: int
    bias: bool
    # for each of the cell's parameters: which part of `_parts` holds it, and at which gate
    sources: tuple[tuple[int, int], ...]
    # for each stored tensor: the places in the cell's order whose gradients it stacks
    members: tuple[tuple[int, ...], ...]

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Rows of the stacks, contiguous views of them; biases that torch keeps in two summands are their sum."""
        parts = self._parts(stored)
        return tuple([parts[part][gate] for part, gate in self.sources])

    def _parts(self, stored: Sequence[Tensor]) -> tuple[Sequence[Tensor], ...]:
        """By gate: weight_ih, weight_hh, bias_ih, bias_hh, the sum of both; and weight_hr, or whatever is last."""
        gates = self.gates
        weights = stored[0].chunk(gates), stored[1].chunk(gates)
        if not self.bias:
            zeros = [stored[0].new_zeros(self.hidden_size)] * gates
            return *weights, zeros, zeros, zeros, stored[-1:]
        summed = (stored[2] + stored[3]).chunk(gates)
        return *weights, stored[2].chunk(gates), stored[3].chunk(gates), summed, stored[-1:]

    def parts(self, stored: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """Views of the stacks' rows to write to: one for a matrix, two for a bias that torch keeps in two summands."""
        rows = [tensor.chunk(self.gates) for tensor in (stored[:4] if self.bias else stored[:2])]

        def views(part: int, gate: int) -> tuple[Tensor, ...]:
            if part == 5:
                return (stored[-1],)
            if part > 1 and not self.bias:
                return ()
            return (rows[2][gate], rows[3][gate]) if part == 4 else (rows[part][gate],)

        return tuple(views(part, gate) for part, gate in self.sources)

    def collect(self, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The stacks' gradients; a summed bias hands the same gradient to both summands."""
        return tuple([_stack([gradients[place] for place in places]) for places in self.members])


def _stack(parts: Sequence[Tensor | None]) -> Tensor | None:
    whole = [part for part in parts if part is not None]  # every parameter of torch's cells is trainable
    if len(whole) == 1:
        return whole[0]
    return _covering(whole) if whole[0].dim() == 2 and _lie_in_order(whole) else torch.cat(whole)


def _lie_in_order(parts: Sequence[Tensor]) -> bool:
    """Whether the rows of each part follow those of the one before, all in the first one's memory."""
    end = parts[0].data_ptr()
    for part in parts:
        if part.data_ptr() != end or not part.is_contiguous():
            return False
        end += part.nbytes
    storage = parts[0].untyped_storage()
    return end <= storage.data_ptr() + storage.nbytes()


def _covering(parts: Sequence[Tensor]) -> Tensor:
    """One tensor over the memory of all parts; no view of theirs, which autograd would guard."""
    first = parts[0]
    shape = (sum(len(part) for part in parts), *first.shape[1:])
    return first.new_empty(0).set_(first.untyped_storage(), first.storage_offset(), shape, first.stride())


def stacks_of(cell: Cell, mode: str, hidden_size: int, bias: bool, projected: bool) -> Stacks:
    """The packing for a cell of torch's."""
    sizes = cell.resolve(1, hidden_size, {"projection": 1} if projected else {})
    names = [parameter.name for parameter in cell.parameters(sizes)]
    source = {"V": (5, 0)}
    for gate, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(GATES[mode]):
        summed = bias_ih == bias_hh
        source |= {weight_ih: (0, gate), weight_hh: (1, gate)}
        source |= {bias_ih: (4, gate)} if summed else {bias_ih: (2, gate), bias_hh: (3, gate)}
    columns = list(zip(*GATES[mode], strict=True))[: 4 if bias else 2]
    members = [tuple(names.index(name) for name in column) for column in columns]
    if projected:
        members.append((names.index("V"),))
    return Stacks(len(GATES[mode]), hidden_size, bias, tuple(source[name] for name in names), tuple(members))
