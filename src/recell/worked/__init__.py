"""Worked examples, each small enough to check with a pencil: `recell.worked.memory()` returns its text and its table.

One example, one file of `examples/`, found by being there. `recell worked NAME` prints it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from recell.errors import DataError, message, needing, unknown
from recell.worked import examples
from recell.worked.table import Table, Worked

__all__ = ["Table", "Worked", "find", "names", "picture", "title_of"]


def names() -> tuple[str, ...]:
    """The names of all examples, in alphabetical order."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(examples.__path__)))


def find(name: str) -> Callable[..., Worked]:
    """The function of an example; DataError where there is none of this name, RecellError where it needs torch and has none."""
    return getattr(_module(name), name)


def title_of(name: str) -> str:
    """The first line of an example's file, read without running it: one that learns needs torch, its title does not."""
    found = importlib.util.find_spec(f"{examples.__name__}.{_known(name)}")
    text = Path(found.origin).read_text(encoding="utf-8") if found is not None and found.origin else ""
    documentation = ast.get_docstring(ast.parse(text)) or ""
    return inspect.cleandoc(documentation).partition("\n")[0]


def picture(name: str, path: str | Path) -> Path:
    """Draws an example to a .png, .svg or .pdf file; DataError where it has no picture or the file cannot be written.

    Needs matplotlib: RecellError where it is not installed.
    """
    from recell.worked.drawing import save

    draw = getattr(_module(name), "picture", None)
    if draw is None:
        drawn = [other for other in names() if "def picture(" in inspect.getsource(_module(other))]
        raise DataError(message(f"the worked example {name} has no picture", write=" or ".join(drawn)))
    return save(draw, Path(path))


def _module(name: str) -> ModuleType:
    with needing(f"the worked example {name}", "torch", extra="torch"):
        return importlib.import_module(f"{examples.__name__}.{_known(name)}")


def _known(name: str) -> str:
    if name not in names():
        raise DataError(unknown("worked example", name, names()))
    return name


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in names():
        raise AttributeError(f"module {__name__!r}: {unknown('worked example', name, names())}")
    return find(name)


def __dir__() -> list[str]:
    return sorted([*__all__, *names()])
