"""recell: a recurrent cell is written once, as its equations; everything else is derived from them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from recell import cells
from recell._version import __version__
from recell.errors import CellError, DataError, ModelError, RecellError, ShapeError, needing, unknown
from recell.language import functions as _functions
from recell.language.cell import Cell, cell
from recell.language.functions import (
    coin,
    concat,
    cos,
    dropout,
    exp,
    floor,
    log,
    maximum,
    mean,
    minimum,
    normalize,
    relu,
    sigmoid,
    silu,
    sin,
    softmax,
    softplus,
    split,
    sqrt,
    tanh,
    where,
)

if TYPE_CHECKING:
    from recell.compiler.check import verify as verify
    from recell.nn.accelerate import accelerate as accelerate

# Imported at first use: what they stand on is heavy (torch) or wide.
_LAZY = {"accelerate": "recell.nn.accelerate", "load": "recell.tasks.base", "verify": "recell.compiler.check"}
_MODULES = ("by_hand", "compiler", "data", "decoding", "modifiers", "nn", "runtime", "tasks", "training", "worked")

# recell.abs and recell.sum; `from recell import *` leaves Python's own alone.
abs = _functions.absolute
sum = _functions.total

__all__ = [
    "Cell", "CellError", "DataError", "ModelError", "RecellError", "ShapeError", "__version__",
    "cell", "cells", "coin", "concat", "cos", "dropout", "exp", "floor", "log", "maximum", "mean", "minimum", "normalize",
    "relu", "sigmoid", "silu", "sin", "softmax", "softplus", "split", "sqrt", "tanh", "where",
]


def __getattr__(name: str) -> Any:
    with needing(f"recell.{name}", "torch", extra="torch", instead="recell.runtime.load, which runs a saved model without it"):
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        if name in _MODULES and importlib.util.find_spec(f"recell.{name}") is not None:
            return importlib.import_module(f"recell.{name}")
    if name.startswith("__"):
        raise AttributeError(f"module 'recell' has no attribute {name!r}")
    raise AttributeError(f"module 'recell': {unknown('attribute', name, {*__all__, *_LAZY, *_MODULES} - {'__version__'})}")
