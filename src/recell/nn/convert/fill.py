"""A `Recurrent` from stacks of gates, as other libraries keep them: one matrix, the rows of one gate after the other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recell.errors import ShapeError, message
from recell.language.cell import Cell
from recell.nn.recurrent import Recurrent

Array = NDArray[Any]
Named = dict[str, Array]


@dataclass(frozen=True)
class Stacked:
    """A layer and direction: w (gates * H, D), u (gates * H, H), and both biases (gates * H,), or None for zeros."""

    w: Array
    u: Array
    b_input: Array | None = None
    b_recurrent: Array | None = None


def as_array(name: str, given: Any) -> Array:
    """float64, which holds all that an array, a tensor or a list gives, until `filled`; ShapeError for what is no numbers."""
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().double().numpy()
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise ShapeError(message(f"{name} holds numbers", came=array.dtype, write="an array of float32"))
    return array.astype(np.float64, copy=False)


def expect_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """ShapeError unless the array has the shape; -1 is any size."""
    if array.ndim != len(shape) or any(s not in (-1, n) for n, s in zip(array.shape, shape, strict=True)):
        wanted = "(" + ", ".join("any" if s < 0 else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"
        raise ShapeError(message(f"{name} has the wrong shape for this layer", came=array.shape, write=wanted))


def by_author(cell: Cell, gates: Sequence[str], stacked: Stacked) -> Named:
    """The stacks under the names of a cell's author: `W_i`, `U_i`, `b_i`, or `W`, `U`, `b` where there is one gate.

    A gate that keeps its second bias apart (the GRU's `c_n`) gets it; elsewhere the two are summed.
    """
    names = {info.name for info in cell.graph.parameters}
    found: Named = {}
    for number, gate in enumerate(gates):
        suffix = f"_{gate}" if gate else ""
        found[f"W{suffix}"], found[f"U{suffix}"] = (np.split(m, len(gates))[number] for m in (stacked.w, stacked.u))
        rows = np.zeros(len(stacked.u) // len(gates), stacked.w.dtype)
        first, second = (rows if b is None else np.split(b, len(gates))[number] for b in (stacked.b_input, stacked.b_recurrent))
        apart = f"c{suffix}" in names
        found[f"b{suffix}"] = first if apart else first + second
        found |= {f"c{suffix}": second} if apart else {}
    return {name: value for name, value in found.items() if name in names}


def filled(cell: Cell, layers: Sequence[Sequence[Named]], **options: Any) -> Recurrent:
    """A Recurrent of these weights: for each layer, one or two directions. In torch's default dtype, or in `dtype`."""
    inputs = [next(array for name, array in directions[0].items() if name.startswith("W")) for directions in layers]
    hidden, width = [len(array) for array in inputs], inputs[0].shape[1]
    units = hidden if len(set(hidden)) > 1 else hidden[0]
    module = Recurrent(cell, width, units, len(layers), bidirectional=len(layers[0]) == 2, **options)
    with torch.no_grad():
        for layer, directions in enumerate(layers):
            for direction, named in enumerate(directions):
                _fill(module, f"l{layer}_reverse" if direction else f"l{layer}", named)
    return module


def _fill(module: Recurrent, suffix: str, named: Mapping[str, Array]) -> None:
    missing = [info.name for info in module.cell.graph.parameters if info.name not in named]
    assert not missing, f"{module.cell.name}: no weights for {missing}"
    for name, array in named.items():
        module.get_parameter(f"{name}_{suffix}").copy_(torch.from_numpy(np.ascontiguousarray(array)))
