"""THE contract tables: what is not described here fails the suite (test_descriptions.py).

A new cell needs no row: it is found in cells/, and tried at odd sizes that its equations allow. Every new op needs a row in
OPS, every new backend one in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from recell import cells, modifiers
from recell.errors import ShapeError
from recell.language.cell import Cell
from tests.language import cells_written_down

INPUT = 3


@dataclass(frozen=True)
class Description:
    """How a cell is tried: odd sizes, and a width of more than one slab of 64 units."""

    hidden: int
    wide: int
    sizes: Mapping[str, int] = field(default_factory=dict)


NAMES = tuple(dict.fromkeys([*cells.names(), *cells_written_down.CELLS]))

# Every modifier, in a cell that is held to all laws; what each one means is held by its own test.
MODIFIED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "LSTM normed and zoned out": ("LSTM", (modifiers.layer_norm(), modifiers.zoneout(h=0.1, c=0.4))),
    "GRU with dropped weights": ("GRU", (modifiers.weight_drop(0.3), modifiers.recurrent_dropout(0.25))),
    "Elman dilated": ("Elman", (modifiers.dilation(2),)),
}
MODIFIERS = {
    "dilation": "test_dilation.py", "layer_norm": "test_layer_norm.py", "recurrent_dropout": "test_dropouts.py",
    "weight_drop": "test_dropouts.py", "zoneout": "test_zoneout.py",
}  # fmt: skip


@cache
def cell_named(name: str) -> Cell:
    if name in MODIFIED:
        base, changes = MODIFIED[name]
        return cells.get(base).with_(*changes)
    return cells.get(name) if name in cells.names() else cells_written_down.CELLS[name]


@cache
def description_of(name: str) -> Description:
    """A size of the cell's own gets a small number that is no other's."""
    cell = cell_named(name)
    sizes = dict(zip(sorted(cell.symbols - {"input", "hidden"}), (5, 7, 11, 13), strict=False))
    return Description(sizes_of(cell, 19, sizes)["hidden"], sizes_of(cell, 70, sizes)["hidden"], sizes)


def sizes_of(cell: Cell, least: int, sizes: Mapping[str, int] | None = None, inputs: int = INPUT) -> dict[str, int]:
    """The first width from `least` on that the cell allows; an input of `inputs` or one more, or as wide as it must be."""
    forced, refused = cell.graph.forced_input, ShapeError("no width was tried")
    for hidden in range(least, least + 32):
        given = {"hidden": hidden, **cell.defaults, **(sizes or {})}
        for width in (inputs, inputs + 1) if forced is None else (forced.evaluate(given),):
            try:
                return cell.resolve(width, hidden, sizes)
            except ShapeError as error:
                refused = error
    raise refused


@dataclass(frozen=True)
class Backend:
    """`library`: whose arrays it takes. `differentiates`: by its own backward, or by torch's autograd."""

    library: str
    differentiates: str
    traces: bool
    dtypes: tuple[str, ...] = ("float64", "float32")


BACKENDS: dict[str, Backend] = {
    "reference": Backend("numpy", "backward", traces=True),
    "eager": Backend("torch", "autograd", traces=True),
    "cpu": Backend("numpy", "backward", traces=False),
}

# One tolerance a dtype, relative to the largest value of 1 or more: float32 is compared with the float64 reference.
TOLERANCE = {"float64": 1e-11, "float32": 2e-5}
DIFFERENCES = 2e-7  # central differences in float64 with a step of 1e-5

# How an op is tried in a cell (test_ops.py): "any" value of the row, "positive" ones, "apart" (the second argument far from
# 0, so that no value lies at a jump), "ties" (arguments that are equal at places), or why it needs no cell of its own.
OPS: dict[str, str] = {
    "add": "any", "sub": "any", "mul": "any", "div": "positive", "mod": "apart", "neg": "any",
    "sigmoid": "any", "tanh": "any", "relu": "any", "exp": "any", "log": "positive", "sqrt": "positive", "abs": "any",
    "sin": "any", "cos": "any", "floor": "any", "softplus": "any", "silu": "any",
    "maximum": "ties", "minimum": "ties", "where": "ties",
    "lt": "ties", "le": "ties", "gt": "ties", "ge": "ties", "eq": "ties", "ne": "ties",
    "sum": "any", "mean": "any", "softmax": "any",
    "input": "every cell", "state": "every cell", "parameter": "every cell", "constant": "AntisymmetricRNN",
    "elapsed": "Normed", "coin": "Normed", "concat": "PackedLSTM, Clockwork", "slice": "PackedLSTM, Clockwork",
    "product": "every cell", "matmul": "test_ops.py by its name", "transpose": "AntisymmetricRNN",
    "mask": "every cell, masked", "reset": "every cell, reset",
    # made by the derivation and by passes only; their values show in every gradient
    "adjoint": "derived", "extent": "derived", "pad": "derived", "splat": "derived", "outer_parameters": "derived",
    "rows": "derived", "columns": "derived", "pad_rows": "derived", "pad_columns": "derived", "outer": "derived",
    "batch_sum": "derived",
}  # fmt: skip
TRIED_ALONE = tuple(name for name, how in OPS.items() if how in ("any", "positive", "apart", "ties"))
