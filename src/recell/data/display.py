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
    """``text`` broken into lines of at most ``columns``, after a space where a line has one; its own breaks stay.

    No character is lost: without the added line breaks the text is the same.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines.extend(_fold_line(line, columns))
    return "\n".join(lines)


def _fold_line(line: str, columns: int) -> list[str]:
    pieces: list[str] = []
    start = width = after_space = 0
    for index, character in enumerate(line):
        wide = character_width(character)
        while width + wide > columns and width > 0:
            cut = after_space if after_space > start else index
            pieces.append(line[start:cut])
            start, width = cut, terminal_width(line[cut:index])
        width += wide
        if character == " ":
            after_space = index + 1
    return [*pieces, line[start:]]
