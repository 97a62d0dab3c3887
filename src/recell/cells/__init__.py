"""The zoo: cells in files, found by being there, each under the name that its author gave it.

A file defines one cell or several. Its stem is best the cell's name in lower case, underscores aside (`peephole_lstm.py` for
`PeepholeLSTM`): `get` then reads that file alone. A file that defines no cell begins with an underscore.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from recell.errors import CellError, unknown

if TYPE_CHECKING:
    from recell.language.cell import Cell


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


@cache
def _stems() -> tuple[str, ...]:
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


@cache
def _defined(stem: str) -> dict[str, Cell]:
    """The cells of a file by their folded names. What it took from another file is that file's."""
    from recell.language.cell import Cell

    module = importlib.import_module(f"{__name__}.{stem}")
    found = [(key, value) for key, value in vars(module).items() if isinstance(value, Cell)]
    own = [
        (key, value) for key, value in found if value.module == module.__name__ or (value.module is None and value.name == key)
    ]
    if not own:
        raise CellError(
            f"cells/{stem}.py must define a cell; came none of its own; write @cell above a function, or call the file _{stem}.py"
        )
    own.sort(key=lambda pair: pair[0] == pair[1].name)  # last, and so first choice: Name before Other = Name(constant=2)
    return {_plain(value.name): value for _, value in own}


@cache
def _files() -> dict[str, str]:
    """The folded name of every cell -> the stem of its file: reads all files."""
    found: dict[str, str] = {}
    for stem in _stems():
        for folded, cell in _defined(stem).items():
            if folded in found:
                raise CellError(
                    f"cells/{found[folded]}.py and cells/{stem}.py both define {cell.name}; write another name in one of them"
                )
            found[folded] = stem
    return found


def _file(folded: str) -> str | None:
    """The stem of a cell's file; the others are read only where it is not the one of its own name."""
    for stem in _stems():
        if _plain(stem) == folded and folded in _defined(stem):
            return stem
    return _files().get(folded)


def names() -> tuple[str, ...]:
    """The names of all cells, in alphabetical order."""
    return tuple(sorted((_defined(stem)[folded].name for folded, stem in _files().items()), key=str.casefold))


def get(name: str) -> Cell:
    """The cell of that name, in any case, dashes and underscores aside; CellError offers the nearest names."""
    folded = _plain(name)
    stem = _file(folded)
    if stem is None:
        raise CellError(unknown("cell", name, names()))
    return _defined(stem)[folded]


def told(name: str) -> str:
    """What the author says of a cell, its paper in the first line: its function's docstring, or else its file's."""
    cell = get(name)
    stem = _file(_plain(name))
    return cell.docstring or inspect.getdoc(importlib.import_module(f"{__name__}.{stem}")) or ""


def __getattr__(name: str) -> Cell:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    stem = _file(_plain(name))
    cell = None if stem is None else _defined(stem)[_plain(name)]
    if cell is not None and cell.name == name:
        return cell
    raise AttributeError(unknown("cell", name, names()))


def __dir__() -> list[str]:
    return ["get", "names", "told", *names()]
