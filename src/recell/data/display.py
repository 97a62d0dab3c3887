"""How wide text is on a terminal: East Asian wide characters take two columns, combining marks none."""

from __future__ import annotations

import unicodedata

_NO_COLUMN = ("Mn", "Me", "Cf", "Cc")


def character_width(character: str) -> int:
    """Columns one character takes: 0, 1 or 2 (Unicode Standard Annex 11; ambiguous ones count 1)."""
    if unicodedata.category(character) in _NO_COLUMN:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def terminal_width(text: str) -> int:
    """Columns that ``text`` takes on one line of a terminal."""
    return sum(map(character_width, text))


def fold(text: str, columns: int) -> str:
    """``text`` with a line break before every character that would pass ``columns``; its own breaks stay."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines.extend(_fold_line(line, columns))
    return "\n".join(lines)


def _fold_line(line: str, columns: int) -> list[str]:
    pieces, start, width = [], 0, 0
    for index, character in enumerate(line):
        wide = character_width(character)
        if width + wide > columns and width > 0:
            pieces.append(line[start:index])
            start, width = index, 0
        width += wide
    return [*pieces, line[start:]]
