"""Texts whose key terms are marked by character offsets: read from JSON lines, cut into words, marks made to fit the words.

A mark that begins or ends within a word is moved outward to the word's edge; white space at its ends is left out. Tags mark one
term at a place, so of terms within one another, or that overlap, the longest is learnt (of equal ones, the first in the data):
the others are not. `counted` says how many marks either happens to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from recell.data.tags import Span
from recell.data.text import json_of, read_lines
from recell.errors import DataError, is_whole, message

# Numbers, names with their figures (CO2), and every other sign by itself: brackets, hyphens, Greek letters.
_GREEK = "\u0370-\u03ff\u1f00-\u1fff"
_LETTER = rf"[^\W\d_{_GREEK}]"
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|{_LETTER}(?:{_LETTER}|\d)*|\S")
_SHAPE = '{"text": "a text", "spans": [[0, 6, "KIND"]]}'


@dataclass(frozen=True, eq=False)
class Document:
    """A text and its terms (first character, the character after the last, kind), or None where these are not known."""

    text: str
    spans: tuple[Span, ...] | None = None
    where: str = ""  # for errors: file and line, or the number in a list


@dataclass(frozen=True)
class Counts:
    """What became of the marks of some documents: all of them, those moved to words' edges, those that tags cannot hold."""

    spans: int
    moved: int
    lost: int


class DocumentFile:
    """The documents of a file of JSON lines, each an object with `text` and `spans`, read anew each time."""

    def __init__(self, path: str | Path, *, labelled: bool = True) -> None:
        self.path, self._labelled = Path(path), labelled
        self._count: int | None = None

    def __iter__(self) -> Iterator[Document]:
        count = 0
        with read_lines(self.path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    count += 1
                    yield _of_line(line, f"{self.path}, line {number}", self._labelled)
        if not count:
            raise DataError(message(f"{self.path} holds no text", write='a line {"text": ..., "spans": ...} for each'))
        self._count = count

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count


def documents_of(data: Any, labels: Any = None) -> list[Document]:
    """Documents of Python lists: texts with lists of (start, end, kind) beside them, or (text, spans) pairs, or Documents."""
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise DataError(message("data is a list of texts", came=f"{data!r:.40}", write="[text]"))
    rows = list(cast(Iterable[Any], data))
    if labels is not None:
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise DataError(message("a list of terms for each text", came=f"{labels!r:.40}", write='[[(0, 4, "Task")]]'))
        marks = list(cast(Iterable[Any], labels))
        if len(marks) != len(rows):
            raise DataError(message(f"{len(rows)} texts need as many lists of terms", came=len(marks), write="one for each"))
        rows = list(zip(rows, marks, strict=True))
    return [_of_row(row, f"text {number}") for number, row in enumerate(rows, 1)]


def unmarked_of(data: Iterable[Any]) -> Iterator[Document]:
    """Documents without terms, out of texts as they come; (text, spans) pairs and Documents are taken too."""
    if isinstance(data, str) or not isinstance(data, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(message("data is a list of texts", came=f"{data!r:.40}", write="[text]"))
    for number, row in enumerate(data, 1):
        yield _checked(row, None, f"text {number}") if isinstance(row, str) else _of_row(row, f"text {number}")


def cut(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends: a number, letters with the figures after them, or one other sign.

    >>> [("CO2, 3.5 \u03bcm-thick"[start:end]) for start, end in cut("CO2, 3.5 \u03bcm-thick")]
    ['CO2', ',', '3.5', '\u03bc', 'm', '-', 'thick']
    """
    return [match.span() for match in _WORD.finditer(text)]


def sentences_in(text: str, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The sentences of a text as (first word, the word after the last): cut after . ! ? before a space and a capital.

    >>> sentences_in("It works. See Fig. 2.", cut("It works. See Fig. 2."))
    [(0, 3), (3, 8)]
    """
    ends = [place for place in range(1, len(words)) if _begins(text, words, place)]
    return list(zip([0, *ends], [*ends, len(words)], strict=True))


def on_words(spans: Iterable[Span], words: Sequence[tuple[int, int]]) -> list[Span]:
    """Marks in characters as marks in words, moved outward; those that touch no word are left out, equal ones stay.

    >>> on_words([(1, 6, "Task")], [(0, 3), (4, 8)])
    [(0, 2, 'Task')]
    """
    found: list[Span] = []
    for start, end, kind in spans:
        touched = [place for place, (first, last) in enumerate(words) if first < end and last > start]
        if touched:
            found.append((touched[0], touched[-1] + 1, kind))
    return found


def outermost(spans: Iterable[Span]) -> list[Span]:
    """The spans that tags can hold: the longest first, each that overlaps none kept before; in the order of the text.

    >>> outermost([(0, 1, "Task"), (0, 3, "Process"), (4, 5, "Material")])
    [(0, 3, 'Process'), (4, 5, 'Material')]
    """
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: span[0] - span[1]):  # stable: the first of equal length
        if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    return sorted(kept)


def marked(document: Document, words: Sequence[tuple[int, int]]) -> set[Span]:
    """All the document's distinct terms in characters, moved to the words' edges: what answers are measured by."""
    return {(words[a][0], words[b - 1][1], kind) for a, b, kind in on_words(document.spans or (), words)}


def counted(documents: Iterable[Document]) -> Counts:
    """What becomes of the documents' marks; a mark given twice with one kind counts once as lost."""
    total = moved = lost = 0
    for document in documents:
        words, spans = cut(document.text), document.spans or ()
        placed = on_words(spans, words)
        total, lost = total + len(spans), lost + len(spans) - len(outermost(placed))
        edges = {start for start, _ in words}, {end for _, end in words}
        moved += sum(start not in edges[0] or end not in edges[1] for start, end, _ in spans)
    return Counts(total, moved, lost)


def _begins(text: str, words: Sequence[tuple[int, int]], place: int) -> bool:
    (start, end), following = words[place - 1], words[place][0]
    return text[start:end] in ".!?" and end < following and text[following].isupper()


def _of_line(line: str, where: str, labelled: bool) -> Document:
    row = json_of(line, where, _SHAPE)
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise DataError(message(f"{where} has no text", came=f"{line.strip()!r:.60}", write=_SHAPE))
    return _checked(row["text"], row.get("spans"), where, labelled)


def _of_row(row: Any, where: str) -> Document:
    if isinstance(row, Document):
        return row
    if not isinstance(row, (tuple, list)) or len(cast(Any, row)) != 2:
        raise DataError(message(f"{where} has no terms", came=f"{row!r:.40}", write="(text, spans), or labels beside the texts"))
    text, spans = cast(Any, row)
    return _checked(text, spans, where, labelled=True)


def _checked(text: Any, spans: Any, where: str, labelled: bool = False) -> Document:
    if not isinstance(text, str):
        raise DataError(message(f"{where} is no text", came=f"{text!r:.40}", write="a str"))
    if not text.strip():
        raise DataError(f"{where} is empty; leave it out, or give it words")
    if not labelled:
        return Document(text, None, where)
    if isinstance(spans, str) or not isinstance(spans, Sequence):
        raise DataError(message(f"{where} has no list of spans", came=f"{spans!r:.40}", write="[[START, END, KIND], ...]"))
    return Document(text, tuple(_span(span, text, where) for span in cast(Sequence[Any], spans)), where)


def _span(span: Any, text: str, where: str) -> Span:
    if not isinstance(span, Sequence) or isinstance(span, str) or len(cast(Any, span)) != 3:
        raise DataError(message(f"{where}: a span is [START, END, KIND]", came=f"{span!r:.40}", write='[0, 7, "Task"]'))
    start, end, kind = cast(Any, span)
    if not is_whole(start) or not is_whole(end) or not 0 <= start < end <= len(text):
        raise DataError(
            message(
                f"{where}: the span {start!r:.20} to {end!r:.20} lies outside of the text",
                write=f"characters from 0 to {len(text)}, the end after the start",
            )
        )
    if not isinstance(kind, str) or not kind:
        raise DataError(message(f"{where}: the span {start}:{end} has no kind", came=f"{kind!r:.20}", write='"Task"'))
    if not text[start:end].strip():
        raise DataError(f"{where}: the span {start}:{end} holds white space alone; leave it out, or mark a word")
    return int(start), int(end), kind
