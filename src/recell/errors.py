"""The errors of recell: one clear line each, saying what was wrong, what came, and what to write instead.

Low-level code raises briefly; the public boundary adds context once. The command line prints the line and
exits with 2.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import sys
from collections.abc import Generator, Iterable
from numbers import Integral
from typing import TypeGuard

_NAMES = {"sklearn": "scikit-learn"}  # packages that are installed under another name than they are imported by


class RecellError(Exception):
    """Base of every error that recell raises on purpose. `str(error)` is one line."""


class CellError(RecellError):
    """A cell, a modifier or the name of a cell is wrong: found at definition, never at the first batch."""


class ShapeError(RecellError):
    """Sizes, shapes, dtypes, devices or lengths do not fit together."""


class DataError(RecellError):
    """A file or a data set cannot be read, or is too small or malformed for the task."""


class ModelError(RecellError):
    """A saved model or checkpoint is missing files, damaged, or carries a graph that does not verify."""


def message(what: str, *, came: object = None, write: str | None = None) -> str:
    """One line out of the three parts that every error has; a part that is None is left out.

    >>> message("hidden_size must be positive", came=-3, write="hidden_size=128")
    'hidden_size must be positive; came -3; write hidden_size=128'
    """
    parts = [what]
    if came is not None:
        parts.append(f"came {came}")
    if write is not None:
        parts.append(f"write {write}")
    return " ".join("; ".join(parts).split())  # an error is one line, whatever its parts held


def is_whole(value: object, *, least: float = -math.inf, most: float = math.inf) -> TypeGuard[int]:
    """Whether a value is a whole number from `least` to `most`: Python's or NumPy's; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def whole(name: str, value: object, *, least: int = 1, rule: str | None = None, write: str | None = None,
          error: type[RecellError] = ShapeError) -> int:
    """A whole number of at least `least`, as Python's; raises `error` for anything else. `rule` says what it is in other words
    than "is a whole number from 1".

    >>> whole("hidden_size", 64)
    64
    """
    if not is_whole(value, least=least):
        raise error(message(f"{name} {rule or f'is a whole number from {least}'}", came=repr(value), write=write))
    return int(value)


def nearest(name: str, choices: Iterable[str], *, count: int = 3) -> tuple[str, ...]:
    """The choices most like `name`, best first, ignoring case, dashes and underscores; empty if none is near.

    >>> nearest("peephole_lstn", ["LSTM", "GRU", "PeepholeLSTM"])
    ('PeepholeLSTM',)
    """
    plain = {_plain(choice): choice for choice in choices}
    found = difflib.get_close_matches(_plain(name), plain, n=count, cutoff=0.4)
    return tuple(plain[key] for key in found)


def unknown(kind: str, name: object, choices: Iterable[str]) -> str:
    """The line for a name that does not exist: offers the nearest names, or all of them where none is near.

    >>> unknown("cell", "GRV", ["GRU", "LSTM"])
    "there is no cell of this name; came 'GRV'; write GRU"
    """
    known = tuple(sorted(set(choices)))
    offered = (nearest(name, known) if isinstance(name, str) else ()) or known
    return message(f"there is no {kind} of this name", came=repr(name), write=" or ".join(offered) or None)


def missing(what: str, package: str, extra: str, *, instead: str | None = None, came: str = "none installed") -> RecellError:
    """The error for a package of an extra that is not installed, or is too old; `instead` is what else can be done.

    >>> print(missing("a picture", "matplotlib", "explain"))
    a picture needs matplotlib; came none installed; write pip install 'recell[explain]'
    """
    write = f"pip install 'recell[{extra}]'" + (f", or {instead}" if instead else "")
    return RecellError(message(f"{what} needs {_NAMES.get(package, package)}", came=came, write=write))


@contextlib.contextmanager
def needing(what: str, *packages: str, extra: str, instead: str | None = None) -> Generator[None]:
    """Around an import: where one of an extra's `packages` is what could not be imported, the RecellError of `missing`."""
    try:
        yield
    except ImportError as error:
        lacking = [package for package in packages if _lacks(package, error)]
        if not lacking:
            raise
        there = sys.modules.get(lacking[0])
        came = "none installed" if there is None else f"{getattr(there, '__version__', 'one')}, which lacks a part ({error})"
        raise missing(what, lacking[0], extra, instead=instead, came=came) from None


def _lacks(package: str, error: ImportError) -> bool:
    """Whether a package is what could not be imported. A finder that refuses it, as a sandbox's may, gives its error no name."""
    return (error.name or "").partition(".")[0] == package or (error.name is None and sys.modules.get(package) is None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
