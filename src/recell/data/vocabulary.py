"""Symbols and their numbers: the characters or words of a text, with four entries of our own before them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from recell.data.files import json_bytes, parse_json, read_bytes, write_bytes
from recell.errors import DataError, ModelError

Level = Literal["characters", "words"]

PADDING, UNKNOWN, START, END = range(4)
SPECIAL = ("<padding>", "<unknown>", "<start>", "<end>")

# A word with its apostrophes and hyphens, one East Asian character, a line break, or any other mark.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
_WORD = re.compile(rf"[^\W{_WIDE}]+(?:['’-][^\W{_WIDE}]+)*|\n|[^\s]")
_UNSPACED = re.compile(rf"[{_WIDE}\u3000-\u303f\uff00-\uff65]")
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%’”…\n")
_NO_SPACE_AFTER = frozenset("([{“‘\n")
_FORMAT = 1


class Vocabulary:
    """The symbols of a corpus. Numbers 0 to 3 are padding, unknown, start and end; then come the symbols.

    >>> v = Vocabulary.of_text("abba c")
    >>> len(v), v.encode("cab?").tolist()
    (8, [7, 4, 5, 1])
    >>> v.decode([4, 5, 1])
    'ab�'
    """

    def __init__(self, symbols: Iterable[str], *, level: Level = "characters") -> None:
        self.level: Level = checked_level(level)
        self.symbols = tuple(symbols)
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols, len(SPECIAL))}
        if len(self._numbers) != len(self.symbols):
            raise DataError("a vocabulary holds every symbol once; some came twice")
        self._table: NDArray[np.int64] | None = None

    @classmethod
    def of_tokens(cls, tokens: Iterable[str], *, level: Level = "words", minimum_count: int = 1,
                  known: Container[str] = ()) -> Vocabulary:
        """The symbols that occur ``minimum_count`` times or more, the most frequent first; those ``known`` however rare."""
        counts = Counter(tokens)
        kept = (symbol for symbol, count in counts.items() if count >= minimum_count or symbol in known)
        return cls(sorted(kept, key=lambda symbol: (-counts[symbol], symbol)), level=level)

    @classmethod
    def of_text(cls, text: str, *, level: Level = "characters", minimum_count: int = 1) -> Vocabulary:
        """The vocabulary of a running text."""
        return cls.of_tokens(tokenize(text, level), level=level, minimum_count=minimum_count)

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.level, self.symbols) == (other.level, other.symbols)

    def __hash__(self) -> int:
        return hash((self.level, self.symbols))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.symbols)} {self.level})"

    def encode(self, text: str) -> NDArray[np.int64]:
        """The numbers of a text's tokens, (tokens,); a symbol that is not listed becomes UNKNOWN."""
        if self.level == "characters":
            table = self._character_table()
            return table[np.minimum(_code_points(text), len(table) - 1)]
        return self.encode_tokens(tokenize(text, self.level))

    def encode_tokens(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of tokens already cut, (tokens,)."""
        numbers = (self._numbers.get(token, UNKNOWN) for token in tokens)
        return np.fromiter(numbers, np.int64, len(tokens))

    def symbol(self, number: int) -> str:
        """One symbol; padding, start and end read as nothing, unknown as the replacement character."""
        if number >= len(SPECIAL):
            return self.symbols[number - len(SPECIAL)]
        return "\ufffd" if number == UNKNOWN else ""

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of a sequence of numbers; words are joined by spaces as print has them."""
        text: list[str] = []
        previous = ""
        for number in numbers:
            symbol = self.symbol(int(number))
            text.append(self.separator(previous, symbol) + symbol)
            previous = symbol or previous
        return "".join(text)

    def separator(self, previous: str, following: str) -> str:
        """What stands between two tokens in running text: a space, or nothing."""
        if self.level == "characters" or not previous or not following:
            return ""
        wide = _UNSPACED.match(previous) and _UNSPACED.match(following)
        tight = previous in _NO_SPACE_AFTER or following in _NO_SPACE_BEFORE or wide
        return "" if tight else " "

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as data."""
        return {"format": _FORMAT, "level": self.level, "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, content: dict[str, Any], path: Path | str = "vocabulary.json") -> Vocabulary:
        """The vocabulary out of data; raises ModelError where the data is not one."""
        symbols: Any = content.get("symbols")
        level: Any = content.get("level")
        if content.get("format") != _FORMAT or level not in get_args(Level) or not _all_text(symbols):
            raise ModelError(f"{path} is no vocabulary of format {_FORMAT}: damaged, or of a newer recell")
        try:
            return cls(symbols, level=level)
        except DataError as error:
            raise ModelError(f"{path} is damaged: {error}") from None

    def to_bytes(self) -> bytes:
        """The content of the vocabulary's file."""
        return json_bytes(self.to_json())

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON, in one step."""
        write_bytes(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary; raises ModelError where the file is missing or damaged."""
        path = Path(path)
        return cls.from_json(parse_json(read_bytes(path, ModelError), path, ModelError), path)

    def _character_table(self) -> NDArray[np.int64]:
        """Code point -> number, so that a long text is encoded by one gather; the last entry stands for all beyond."""
        if self._table is None:
            points = {ord(symbol): number for symbol, number in self._numbers.items() if len(symbol) == 1}
            table = np.full(max(points, default=0) + 2, UNKNOWN, np.int64)
            table[list(points)] = list(points.values())
            self._table = table
        return self._table


def tokenize(text: str, level: Level) -> Sequence[str]:
    """A text's characters, or its words, marks and line breaks (an East Asian character is a word)."""
    if level == "characters":
        return text
    return _WORD.findall(text)


def checked_level(level: str) -> Level:
    """``level`` itself; raises DataError where it is neither characters nor words."""
    if level == "characters" or level == "words":
        return level
    raise DataError(f"level is {level!r}; write 'characters' or 'words'")


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _all_text(symbols: Any) -> bool:
    return isinstance(symbols, list) and all(isinstance(symbol, str) for symbol in cast(list[Any], symbols))
