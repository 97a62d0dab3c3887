"""``--cell``: a name in recell.cells, or ``file.py:Name``, the user's own file, which is run because it was named."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from recell import cells
from recell.errors import CellError, RecellError, message, unknown
from recell.language.cell import Cell

_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>\w*))?")


def find_cell(named: str) -> Cell | str:
    """The cell of ``file.py:Name``, or the name itself where it is one of recell's; CellError otherwise."""
    found = _FILE.fullmatch(named)
    if found is None:
        return cells.get(named).name
    path, name = Path(found["path"]), found["name"]
    defined = {key: value for key, value in vars(_module(path)).items() if isinstance(value, Cell)}
    if not defined:
        raise CellError(message(f"{path} defines no cell", write="a function with @recell.cell in it"))
    if not name:
        raise CellError(message(f"which cell of {path}?", came=named, write=f"{path}:{next(iter(defined))}"))
    if name not in defined:
        raise CellError(f"{path}: {unknown('cell', name, defined)}")
    return defined[name]


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise CellError(message(f"there is no file {path}", write="the path of a Python file, as file.py:Name"))
    spec = importlib.util.spec_from_file_location(f"recell_user_{path.stem}", path.resolve())
    if spec is None or spec.loader is None:
        raise CellError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # a user's file may import its neighbours
    try:
        spec.loader.exec_module(module)
    except RecellError as error:
        raise CellError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:  # a script that ends itself must not end us in silence
        raise CellError(f"{path}{_line_of(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the user's file it went wrong."""
    if isinstance(error, SyntaxError):
        return f" line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path.resolve()]
    return f" line {lines[-1]}" if lines else ""
