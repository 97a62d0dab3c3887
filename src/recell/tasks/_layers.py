"""The recurrent layers of every task: the one path from a task's options to `recell.nn.Recurrent`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from recell.errors import ShapeError, message
from recell.language.cell import Cell
from recell.nn import Recurrent
from recell.nn.between import check_connections
from recell.nn.layers import HiddenSize, sizes_given
from recell.tasks._checks import check_flag, check_part


@dataclass(frozen=True)
class Layers:
    """The options of a task that say how its recurrent layers are; those that a task does not have are as they are here.

    ``hidden_size`` may be a list, a size for each layer. ``residual`` and ``highway`` carry a layer's input past it, from the
    second layer on. ``dropout`` drops units between layers, ``input_dropout`` of what the first one reads (None: at the rate of
    ``dropout``), ``variational`` the same units at all steps: see `recell.nn.Recurrent`.
    """

    hidden_size: HiddenSize
    num_layers: int = 1
    bidirectional: bool = False
    sizes: Mapping[str, int] | None = None
    dropout: float = 0.0
    input_dropout: float | None = 0.0
    variational: bool = False
    residual: bool = False
    highway: bool = False
    backend: str = "auto"

    @classmethod
    def of(cls, task: object) -> Self:
        """The layers that a task's options describe."""
        return cls(**{field.name: getattr(task, field.name) for field in fields(cls) if hasattr(task, field.name)})

    def check(self) -> None:
        """Refuse what cannot be, before anything is read."""
        sizes_given(self.hidden_size, self.num_layers)
        check_part("dropout", self.dropout)
        if self.input_dropout is not None:
            check_part("input_dropout", self.input_dropout)
        for name in ("bidirectional", "variational", "residual", "highway"):
            check_flag(name, getattr(self, name))
        check_connections(layers=self.count, residual=self.residual, highway=self.highway)

    @property
    def count(self) -> int:
        """How many layers there are."""
        return max(len(self.hidden_sizes), self.num_layers)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The size of each layer, or the one that all have."""
        return sizes_given(self.hidden_size, self.num_layers)

    def described(self, cell: Cell, width: int, outputs: int) -> dict[str, Any]:
        """The layers as a saved model's config.json has them; arguments as of `make`."""
        several = isinstance(self.hidden_size, (list, tuple))
        sizes = {**(self.sizes or {}), **({"output": outputs} if cell.brings_output else {})}
        return {
            "input_size": width, "hidden_size": list(self.hidden_sizes) if several else self.hidden_sizes[0],
            "num_layers": self.count, "sizes": sizes, "residual": self.residual, "highway": self.highway,
        }  # fmt: skip

    def make(self, cell: Cell, width: int, outputs: int, *, reads: str = "the input") -> Recurrent:
        """Fresh layers that read `width` numbers a step; `outputs` is what a cell with an output layer of its own puts out.

        `reads` says to people what the width is made of: the options of the task, or its data.
        """
        self._check_width(cell, width, reads)
        return Recurrent(
            cell, **self.described(cell, width, outputs), bidirectional=self.bidirectional, dropout=self.dropout,
            input_dropout=self.dropout if self.input_dropout is None else self.input_dropout, variational=self.variational,
            backend=self.backend,
        )  # fmt: skip

    def _check_width(self, cell: Cell, width: int, reads: str) -> None:
        """ShapeError, in the task's words, where a cell whose input must be as wide as its units cannot be."""
        forced = cell.graph.forced_input
        if forced is None:
            return
        given = {**cell.defaults, **(self.sizes or {}), "hidden": self.hidden_sizes[0]}
        if set(forced.symbols) <= given.keys() and (wanted := forced.evaluate(given)) != width:
            said = f"{cell.name} reads an input as wide as {forced}, {wanted} numbers a step"
            write = f"hidden_size={width}" if str(forced) == "hidden" else "other sizes"
            raise ShapeError(message(said, came=f"{width} from {reads}", write=write))
        if self.bidirectional and self.count > 1:
            said = f"{cell.name} reads an input as wide as {forced}, and a layer above two directions would read twice that"
            raise ShapeError(message(said, write="bidirectional=False, or num_layers=1"))
