"""What reads a vector or an image before a decoder writes of it: a module each, from (N, *shape) to one code (N, size)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from recell.errors import RecellError, message
from recell.language.cell import Cell
from recell.nn import Recurrent

ENCODERS = ("auto", "linear", "convolutions", "rows")
_CHANNELS = (16, 32)


def encoder_for(name: str, shape: tuple[int, ...], size: int, *, cell: Cell, hidden_size: int, backend: str) -> nn.Module:
    """The encoder of a name; "auto" is "convolutions" for images and "linear" for vectors."""
    if name == "auto":
        name = "convolutions" if len(shape) == 2 else "linear"
    if name == "linear":
        return Linear(shape, size)
    if len(shape) != 2:
        raise RecellError(message(f"encoder {name!r} reads images", came="vectors", write="encoder='linear'"))
    return Convolutions(shape, size) if name == "convolutions" else Rows(shape, size, cell, hidden_size, backend)


class Linear(nn.Module):
    """One layer on all values."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        super().__init__()
        values = 1
        for side in shape:
            values *= side
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(values, size), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


class Convolutions(nn.Module):
    """Two convolutions of 3 x 3, each halving the image by the maxima of 2 x 2, and one layer on what is left."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        super().__init__()
        first, second = _CHANNELS
        height, width = (-(-side // 4) for side in shape)
        self.layers = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(), nn.Linear(second * height * width, size), nn.ReLU(),
        )  # fmt: skip

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values[:, None])


class Rows(nn.Module):
    """A recurrent network over the rows, and one layer on its last output."""

    def __init__(self, shape: tuple[int, ...], size: int, cell: Cell, hidden_size: int, backend: str) -> None:
        super().__init__()
        sizes: Mapping[str, Any] | None = {"output": hidden_size} if cell.brings_output else None
        self.recurrent = Recurrent(cell, shape[1], hidden_size, sizes=sizes, backend=backend)
        self.output = nn.Sequential(nn.Linear(self.recurrent.output_size, size), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        y, _ = self.recurrent(values.transpose(0, 1).contiguous())
        return self.output(y[-1])
