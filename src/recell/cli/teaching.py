"""``recell worked``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from recell import worked
from recell.data.display import terminal_width
from recell.worked.table import Table, Worked, shown

RULES = 1  # columns of a terminal that a ruled table takes more than a plain one, for each column of the table


def list_worked() -> dict[str, str]:
    """Every example's name and title."""
    return {name: worked.title_of(name) for name in worked.names()}


def work_out(name: str, picture: Path | None, *, as_json: bool, markdown: bool) -> None:
    """Prints an example: as JSON, as Markdown, in ruled tables on a terminal, or plainly; draws it where that is asked for."""
    example = worked.find(name)()
    written = None if picture is None else worked.picture(name, picture)
    if as_json:
        print(json.dumps(asdict(example) | ({} if written is None else {"picture": str(written)})))
        return
    if markdown:
        print(example.markdown(), end="")
    elif sys.stdout.isatty():
        _print_ruled(example)
    else:
        print(example)
    if written is not None:
        print(f"written: {written}", file=sys.stderr)


def _print_ruled(example: Worked) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(example.title, style="bold"), Text(example.text), sep="\n\n", end="\n\n", soft_wrap=True)
    for table in example.tables:
        fits = width_of(table) + RULES * len(table.columns) < console.width  # rules would cut numbers short where it does not
        console.print(_ruled(table) if fits else Text(f"{table.plain()}\n"), soft_wrap=not fits)
    console.print(Text(f"Source: {example.source}", style="dim"), soft_wrap=True)


def width_of(table: Table) -> int:
    """Columns of a terminal that the plain table takes."""
    return max(map(terminal_width, table.plain().splitlines()))


def _ruled(table: Table) -> object:
    from rich.table import Table as Ruled
    from rich.text import Text

    made = Ruled(title=Text(table.caption) if table.caption else None, title_justify="left")
    for column in table.columns:
        numeric = all(isinstance(value, int | float) for value in table.column(column) if value is not None)
        made.add_column(Text(column), justify="right" if numeric else "left")
    for row in table.rows:
        made.add_row(*(Text(shown(value)) for value in row))
    return made
