"""What a worked example returns: a title, a text, and tables that print themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recell.data.display import terminal_width
from recell.errors import DataError, unknown

Rows = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Table:
    """Rows of numbers, texts and tuples of numbers, under the names of their columns."""

    columns: tuple[str, ...]
    rows: Rows
    caption: str = ""

    def column(self, name: str) -> tuple[Any, ...]:
        """The values of one column, from top to bottom. Raises DataError for a name that is no column's."""
        if name not in self.columns:
            raise DataError(unknown("column", name, self.columns))
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)

    def plain(self) -> str:
        """Columns lined up by spaces; a value of several lines takes as many."""
        lines = _lines(self.columns, self.rows)
        widths = [max(terminal_width(line[k]) for line in lines) for k in range(len(self.columns))]
        padded = ("  ".join(_padded(text, width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)
        return "\n".join([*([self.caption] if self.caption else []), *padded])

    def markdown(self) -> str:
        """A table in Markdown; line breaks inside a value become <br>."""
        cells = [self.columns, ["---"] * len(self.columns), *([shown(value) for value in row] for row in self.rows)]
        lines = ["| " + " | ".join(_escaped(text) for text in line) + " |" for line in cells]
        return "\n".join([*([f"{self.caption}\n"] if self.caption else []), *lines])


@dataclass(frozen=True)
class Worked:
    """A worked example: what it shows, how it is computed, and its first table; `more` holds further ones."""

    title: str
    text: str
    columns: tuple[str, ...]
    rows: Rows
    source: str
    caption: str = ""
    more: tuple[Table, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, the first one too."""
        return (Table(self.columns, self.rows, self.caption), *self.more)

    def column(self, name: str) -> tuple[Any, ...]:
        """The values of one column of the first table. Raises DataError for a name that is no column's."""
        return self.tables[0].column(name)

    def __str__(self) -> str:
        tables = (table.plain() for table in self.tables)
        return "\n\n".join([self.title, self.text, *tables, f"Source: {self.source}"])

    def markdown(self) -> str:
        """The whole example as Markdown; the text, full of formulas, as it stands."""
        tables = (table.markdown() for table in self.tables)
        return "\n\n".join([f"# {self.title}", f"```\n{self.text}\n```", *tables, f"Source: {self.source}"]) + "\n"


def worked(
    documentation: str | None,
    table: Table,
    *more: Table,
    source: str,
    said: str = "",
) -> Worked:
    """An example out of its file's docstring, whose first line is the title; `said` is added to the text."""
    title, _, text = inspect.cleandoc(documentation or "").partition("\n")
    text = "\n\n".join(part for part in (text.strip("\n"), said) if part)
    return Worked(title, text, table.columns, table.rows, source, table.caption, more)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Table:
    """A table of plain Python values out of rows that may hold NumPy's: an array becomes a tuple, one of one number a number."""
    made = tuple(tuple(_plain(value) for value in row) for row in rows)
    for row in made:
        if len(row) != len(columns):
            raise DataError(f"a row has a value for each of {len(columns)} columns; came {len(row)}")
    return Table(tuple(columns), made, caption)


def shown(value: Any) -> str:
    """A value's text: four digits of a number that is no whole one.

    >>> [shown(value) for value in (4.0, 0.123456, 20751.64, 4.36e-05, (1.0, 2.5), "blue", None)]
    ['4', '0.1235', '20752', '4.36e-05', '(1, 2.5)', 'blue', '']
    """
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"({', '.join(shown(part) for part in value)})"
    if not isinstance(value, float):
        return str(value)
    whole = abs(value) < 1e6 and (value.is_integer() or abs(value) >= 1e4)
    return f"{value + 0.0:.0f}" if whole else f"{value:.4g}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size != 1 else value.item()
    if isinstance(value, list | tuple):
        return tuple(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic) else value


def _lines(columns: Sequence[str], rows: Rows) -> list[list[str]]:
    """Every line of the table, a value's further lines below its first."""
    lines = [list(columns)]
    for row in rows:
        parts = [shown(value).split("\n") for value in row]
        height = max(map(len, parts))
        lines += [[part[k] if k < len(part) else "" for part in parts] for k in range(height)]
    return lines


def _padded(text: str, width: int) -> str:
    return text + " " * (width - terminal_width(text))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
