"""The errors of recell: one clear line each, saying what was wrong, what came, and what to write instead.

Low-level code raises briefly; the public boundary adds context once. The command line prints the line and
exits with 2.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable


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


def lacks_torch(error: ImportError) -> bool:
    """Whether torch is what could not be imported. A finder that refuses it, as a sandbox's may, gives its error no name."""
    return error.name == "torch" or (error.name is None and sys.modules.get("torch") is None)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
