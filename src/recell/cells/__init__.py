"""The zoo: one cell, one file, found by being there.

A file's stem is the cell's name, case-folded and without underscores: `peephole_lstm.py` holds `PeepholeLSTM`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from recell.errors import CellError, unknown

if TYPE_CHECKING:
    from recell.language.cell import Cell


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


@cache
def _stems() -> dict[str, str]:
    """Folded name -> the file's stem."""
    stems = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {_plain(stem): stem for stem in stems}


@cache
def _load(folded: str) -> Cell:
    from recell.language.cell import Cell

    stem = _stems()[folded]
    module = importlib.import_module(f"{__name__}.{stem}")
    for name, value in vars(module).items():
        if isinstance(value, Cell) and _plain(name) == folded:
            return value
    raise CellError(f"cells/{stem}.py must define a cell of its own name; came none; write @cell def {stem.upper()}(p, x, h)")


def names() -> tuple[str, ...]:
    """The names of all cells, in alphabetical order."""
    return tuple(sorted((_load(folded).name for folded in _stems()), key=str.casefold))


def get(name: str) -> Cell:
    """The cell of that name, in any case, dashes and underscores aside; CellError offers the nearest names."""
    folded = _plain(name)
    if folded not in _stems():
        raise CellError(unknown("cell", name, names()))
    return _load(folded)


def __getattr__(name: str) -> Cell:
    if not name.startswith("_") and _plain(name) in _stems() and _load(_plain(name)).name == name:
        return _load(_plain(name))
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise AttributeError(unknown("cell", name, names()))


def __dir__() -> list[str]:
    return ["get", "names", *names()]
