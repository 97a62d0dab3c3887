"""What an option of a task may be: each check passes or raises one line that names the option; and what is said of a label
that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recell.errors import DataError, RecellError, message, nearest, unknown, whole
from recell.language.cell import Cell
from recell.training.loop import check_number


def check_count(name: str, value: object) -> None:
    """ShapeError for what is no whole number from 1."""
    whole(name, value, write=f"{name}=64")


def check_flag(name: str, value: object) -> None:
    """RecellError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise RecellError(message(f"{name} is True or False", came=repr(value), write=f"{name}=True"))


def check_part(name: str, value: object, what: str = "a probability", write: float = 0.2) -> None:
    """RecellError for what is no number from 0 to below 1."""
    if check_number(name, value) >= 1:
        raise RecellError(message(f"{name} is {what} below 1", came=value, write=f"{name}={write}"))


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """RecellError for what is none of the choices; it offers the nearest."""
    if value not in choices:
        raise RecellError(unknown(name, str(value), choices))


def check_one_layer(cell: Cell, *, bidirectional: bool | None, layers: int) -> None:
    """RecellError where a cell with an output layer of its own, which belongs at the end, would be followed by another, or
    joined with one; `bidirectional` is None where a task has no such option."""
    if cell.brings_output and (bidirectional or layers > 1):
        write = "num_layers=1" if bidirectional is None else "bidirectional=False, num_layers=1"
        raise RecellError(message(f"{cell.name} brings its own output layer", write=write))


def unseen(where: str, kind: str, name: str, known: Iterable[str]) -> DataError:
    """The error for a label that training never saw; offers the nearest that it saw, or the first."""
    seen = sorted(set(known))
    offered = " or ".join(nearest(name, seen) or seen[:3])
    write = f"{offered}, or train on data that has it"
    return DataError(message(f"{where}: training never saw the {kind} {name!r}", write=write))
