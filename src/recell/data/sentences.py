"""Tagged sentences: from CoNLL columns, from the three files of SNIPS, from JSON lines (frames too), from Python lists. Every
fault names its file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recell.data.numbers import check_finite
from recell.data.tags import broken, marks_spans
from recell.data.text import json_of, read_lines
from recell.errors import DataError, is_whole, message

Frames = NDArray[np.float32]
_SNIPS = ("seq.in", "seq.out", "label")
_FORM = '{"words": ["to", "Rome"], "tags": ["O", "B-city"]} or {"frames": [[0.5, 1.2], [0.4, 1.3]], "tags": ["up", "down"]}'


@dataclass(frozen=True, eq=False)
class Sentence:
    """Words, or frames (T, features), with a tag for each and an intent, where these are known."""

    words: tuple[str, ...] | Frames
    tags: tuple[str, ...] | None = None
    intent: str | None = None
    where: str = ""  # for errors: file and line, or the number in a list
    lines: tuple[int, ...] = ()  # the line of each word, where the file has one for each
    whole: bool = False  # the tags came as whole numbers, and are here written out

    def __len__(self) -> int:
        return len(self.words)

    def at(self, place: int) -> str:
        """Where a word stands, for errors."""
        if not isinstance(self.words, tuple):
            return f"{self.where}, frame {place + 1}"
        file = f"{self.where.rpartition(', line ')[0]}, line {self.lines[place]}" if self.lines else self.where
        return f"{file}, word {place + 1} ({self.words[place]!r:.30})"


class SentenceFile:
    """The sentences of a file, or of a folder with seq.in, seq.out and label, read anew each time: it may be larger than memory.

    CoNLL columns: a word a line, columns apart by white space, the first the word and the last its tag; an empty line ends a
    sentence. A line `-DOCSTART-` is left out, and before a sentence lines that begin with `# `; within it these are words. SNIPS:
    a sentence a line, in three files. A file `.jsonl`: a sentence a line, an object with `words`, or `frames` (a list of features
    each), with `tags`, and an `intent` where there are intents.
    """

    def __init__(self, path: str | Path, *, labelled: bool = True, plain: bool = False) -> None:
        self.path, self._labelled, self._plain = Path(path), labelled, plain
        self._count: int | None = None

    def __iter__(self) -> Iterator[Sentence]:
        is_json = self.path.suffix == ".jsonl"
        read = _snips if self.path.is_dir() else _json_lines if is_json else _conll
        count = 0
        for sentence in read(self.path, self._labelled):
            count += 1
            yield checked(sentence, plain=self._plain)
        if not count:
            write = f"a line for each, such as {_FORM}" if is_json else "a file with a word and its tag on each line"
            raise DataError(message(f"{self.path} holds no sentence", write=write))
        self._count = count

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count


def sentences_of(data: Any, labels: Any = None, *, plain: bool = False) -> list[Sentence]:
    """Sentences of Python lists: `data` words and `labels` tags or (tags, intent) pairs; or `data` (words, tags[, intent]).
    `plain` tags mark no spans, whatever they look like."""
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise DataError(message("a sentence is a list of words", came=f"{data!r:.40}", write='[["arrive", "Taipei"]]'))
    rows = list(cast(Iterable[Any], data))
    if labels is None:
        return [checked(_sentence(row, f"sentence {n}"), plain=plain) for n, row in enumerate(rows, 1)]
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise DataError(message("labels are a list of tags for each sentence", came=f"{labels!r:.40}", write='[["O", "B-city"]]'))
    marks = list(cast(Iterable[Any], labels))
    if len(marks) != len(rows):
        raise DataError(message(f"{len(rows)} sentences need as many labels", came=len(marks), write="one list of tags for each"))
    pairs = enumerate(zip(rows, marks, strict=True), 1)
    return [checked(_labelled(row, mark, f"sentence {n}"), plain=plain) for n, (row, mark) in pairs]


def unlabelled_of(data: Iterable[Any]) -> Iterator[Sentence]:
    """Sentences without tags out of word lists or frames, as they come; Sentence objects and (words, tags) are taken too."""
    if not isinstance(data, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(message("sentences are a list", came=f"{data!r:.40}", write='[["arrive", "Taipei"]]'))
    for number, row in enumerate(data, 1):
        if isinstance(row, Sentence):
            yield row
        elif isinstance(row, tuple) and row and not isinstance(row[0], str):
            yield checked(_sentence(cast(Any, row), f"sentence {number}"))
        else:
            yield checked(Sentence(words_of(row, f"sentence {number}"), where=f"sentence {number}"))


def checked(sentence: Sentence, *, plain: bool = False) -> Sentence:
    """The sentence itself; DataError where it is empty, or its tags are too many, too few or, unless `plain`, break BIO."""
    where, tags = sentence.where, sentence.tags
    if not len(sentence.words):
        raise DataError(f"{where} is empty; leave it out, or give it words")
    if isinstance(sentence.words, np.ndarray):
        check_finite(sentence.words, where)
    if tags is None:
        return sentence
    if len(tags) != len(sentence.words):
        raise DataError(message(f"{where} has {len(sentence.words)} words and {len(tags)} tags", write="one tag for each word"))
    if not plain and marks_spans(tags) and not any(tag[0] in "ES" for tag in tags):
        check_unbroken(sentence, "bio")
    return sentence


def check_unbroken(sentence: Sentence, scheme: str) -> None:
    """DataError where a tag cannot follow the one before it in "bio" or "bioes"."""
    tags = sentence.tags or ()
    place = broken(tags, scheme)
    if place is None:
        return
    before = tags[place - 1] if place else "the start"
    if place == len(tags):
        write = f"{'S' if before[0] == 'B' else 'E'}{before[1:]} where a span ends"
        raise DataError(message(f"{sentence.at(place - 1)}: no sentence ends with the tag {before!r}", write=write))
    is_inside = tags[place][0] in "IE"
    write = f"B{tags[place][1:]} where a span begins" if is_inside else f"E{before[1:]} or S{before[1:]} where a span ends"
    raise DataError(message(f"{sentence.at(place)}: the tag {tags[place]!r} cannot follow {before}", write=write))


def words_of(row: Any, where: str) -> tuple[str, ...] | Frames:
    """A row's words, or its frames (T, features); DataError for anything else."""
    if isinstance(row, np.ndarray) and row.dtype.kind in "fiub":
        if row.ndim != 2:
            raise DataError(message(f"{where}: frames are (T, features)", came=f"the shape {row.shape}", write="x[:, None]"))
        if len(row) and not row.shape[1]:
            raise DataError(message(f"{where}: frames have a feature or more", came=f"the shape {row.shape}"))
        check_finite(row, where)
        return row.astype(np.float32)
    if isinstance(row, str) or not isinstance(row, Sequence):
        raise DataError(message(f"{where} is no list of words", came=f"{row!r:.40}", write='["arrive", "Taipei"]'))
    if row and not isinstance(row[0], str):
        try:
            return words_of(np.asarray(row), where)
        except ValueError:
            raise DataError(message(f"{where} has frames of different widths", write="an array (T, features)")) from None
    if not all(isinstance(word, str) for word in cast(Sequence[Any], row)):
        raise DataError(message(f"{where} holds a word that is no text", came=f"{row!r:.60}", write="words as str"))
    return tuple(cast(Sequence[str], row))


def _sentence(row: Any, where: str) -> Sentence:
    if isinstance(row, Sentence):
        return row
    if not isinstance(row, (tuple, list)) or len(cast(Any, row)) not in (2, 3):
        raise DataError(message(f"{where} has no tags", came=f"{row!r:.40}", write="(words, tags), or labels beside the words"))
    words, *mark = cast(Any, row)
    return _labelled(words, tuple(mark) if len(mark) == 2 else mark[0], where)


def _labelled(words: Any, mark: Any, where: str) -> Sentence:
    paired = isinstance(mark, tuple) and len(cast(Any, mark)) == 2 and not isinstance(mark[0], str)
    tags, intent = cast(Any, mark) if paired else (mark, None)
    names, whole = _tags_of(tags, where)
    return Sentence(words_of(words, where), names, None if intent is None else str(intent), where, whole=whole)


def _tags_of(tags: Any, where: str) -> tuple[tuple[str, ...], bool]:
    """Tags as texts, and whether they came as whole numbers."""
    listed: Any = tags.tolist() if isinstance(tags, np.ndarray) else tags
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise DataError(message(f"{where} has no list of tags", came=f"{tags!r:.40}", write='["O", "B-city"]'))
    found: list[Any] = list(cast(Sequence[Any], listed))
    if found and all(is_whole(tag) for tag in found):
        return tuple(str(int(tag)) for tag in found), True
    for place, tag in enumerate(found, 1):
        if not isinstance(tag, str) or not tag:
            said = f"{where}: tag {place} is no text, or tags are not all whole numbers"
            raise DataError(message(said, came=f"{tag!r:.40}", write='["O", "B-city"]'))
    return tuple(map(str, found)), False


def _conll(path: Path, labelled: bool) -> Iterator[Sentence]:
    rows, lines = list[list[str]](), list[int]()
    columns = 0
    with read_lines(path) as stream:
        for number, line in enumerate(stream, 1):
            cells = line.split()
            if cells and (cells[0] == "-DOCSTART-" or (line.startswith("# ") and not rows)):
                continue
            if not cells:
                if rows:
                    yield _of_rows(rows, path, lines, labelled)
                rows, lines = [], []
                continue
            columns = columns or len(cells)
            if len(cells) != columns or (labelled and columns < 2):
                wanted = f"the {columns} of the lines before" if columns > 1 else "a word and its tag"
                wanted = wanted if labelled else "a word a line, and an empty line between sentences"
                said = f"{path}, line {number} has {len(cells)} column(s)"
                raise DataError(message(said, came=f"{line.strip()!r:.60}", write=wanted))
            rows.append(cells)
            lines.append(number)
    if rows:
        yield _of_rows(rows, path, lines, labelled)


def _of_rows(rows: list[list[str]], path: Path, lines: list[int], labelled: bool) -> Sentence:
    tags = tuple(row[-1] for row in rows) if labelled else None
    return Sentence(tuple(row[0] for row in rows), tags, None, f"{path}, line {lines[0]}", tuple(lines))


def _json_lines(path: Path, labelled: bool) -> Iterator[Sentence]:
    with read_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _of_json(line, f"{path}, line {number}", labelled)


def _of_json(line: str, where: str, labelled: bool) -> Sentence:
    content = json_of(line, where, _FORM)
    held = [name for name in ("words", "frames") if isinstance(content, dict) and name in content]
    if len(held) != 1:
        said = f"{where} has {'both words and frames' if held else 'neither words nor frames'}"
        raise DataError(message(said, came=f"{line.strip()!r:.40}", write=_FORM))
    value, intent = content[held[0]], content.get("intent")
    if not isinstance(value, list) or (value and isinstance(value[0], str) != (held[0] == "words")):  # pyright: ignore[reportUnknownArgumentType]
        raise DataError(message(f"{where}: its {held[0]} are none", came=f"{value!r:.40}", write=_FORM))
    words = words_of(value, where)
    if not labelled:
        return Sentence(words, where=where)
    if intent is not None and not isinstance(intent, (str, int)):
        raise DataError(message(f"{where}: its intent is no text", came=f"{intent!r:.40}", write='"intent": "book_flight"'))
    tags, whole = _tags_of(content.get("tags"), where)
    return Sentence(words, tags, None if intent is None else str(intent), where, whole=whole)


def _snips(folder: Path, labelled: bool) -> Iterator[Sentence]:
    wanted = _SNIPS if labelled else _SNIPS[:1]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise DataError(message(f"{folder} lacks {', '.join(missing)}", write=f"a folder with {', '.join(_SNIPS)}"))
    files = [folder / name for name in wanted]
    for number, lines in enumerate(_together(files), 1):
        where = f"{files[0]}, line {number}"
        if labelled:
            words, tags, intent = lines
            if not intent.strip():
                raise DataError(message(f"{files[2]}, line {number} has no intent", write="one for each sentence"))
            yield Sentence(tuple(words.split()), tuple(tags.split()), intent.strip(), where)
        else:
            yield Sentence(tuple(lines[0].split()), where=where)


def _together(files: list[Path]) -> Iterator[list[str]]:
    """The lines of some files side by side; DataError where one ends before another."""
    with ExitStack() as readers:
        streams = [readers.enter_context(read_lines(path)) for path in files]
        for number in count(1):
            lines = [next(stream, None) for stream in streams]
            if all(line is None for line in lines):
                return
            for path, line in zip(files, lines, strict=True):
                if line is None:
                    said = f"{path} ends before line {number}, where its neighbours go on"
                    raise DataError(f"{said}; the files must have a line each")
            yield [line for line in lines if line is not None]
