"""recell: a recurrent cell is written once, the way a paper writes it, and everything else is derived from it."""

from __future__ import annotations

from recell._version import __version__
from recell.errors import CellError, DataError, ModelError, RecellError, ShapeError

__all__ = ["CellError", "DataError", "ModelError", "RecellError", "ShapeError", "__version__"]
