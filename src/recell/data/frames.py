"""Sequences of frames: the keys that sound at each step of a piece, or any numbers. Every fault names its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recell.data.numbers import check_finite
from recell.data.text import json_of, read_lines
from recell.errors import DataError, is_whole, message

_FORM = '{"steps": [[39, 51], [41]]} or {"frames": [[0.5, 1.2], [0.4, 1.3]]}'


@dataclass(frozen=True, eq=False)
class Piece:
    """The frames (T, C) of one piece or recording."""

    frames: NDArray[Any]
    where: str  # for errors: file and line, or the number in a list


class FrameFile:
    """The sequences of a JSON-lines file, read anew each time: it may be larger than memory.

    Each line holds `steps`, the numbers of the active ones of ``keys`` keys at each step, or `frames`, the values at each step.
    ``FILE#test`` names the lines alone whose `split` field is "test".
    """

    def __init__(self, path: str | Path, *, keys: int = 88) -> None:
        name, mark, split = str(path).rpartition("#")
        named = mark and Path(split).name == split and not Path(path).exists()  # a file's own name may hold a #
        self.path, self.split = (Path(name), split) if named else (Path(path), None)
        self._keys = keys
        self._count: int | None = None

    def __iter__(self) -> Iterator[Piece]:
        count = 0
        with read_lines(self.path) as lines:
            for number, line in enumerate(lines, 1):
                where = f"{self.path}, line {number}"
                content = _content(line, where)
                if self.split is None or content.get("split") == self.split:
                    count += 1
                    yield _sequence(content, self._keys, where)
        if not count:
            of = "" if self.split is None else f" of the split {self.split!r}"
            raise DataError(message(f"{self.path} holds no sequence{of}", write=f"a line for each, such as {_FORM}"))
        self._count = count

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count


def sequences_of(data: Any) -> Iterator[Piece]:
    """The sequences of a list of arrays (T, C) or of one array (N, T, C), as they come."""
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise DataError(message("sequences are a list of arrays (T, C)", came=f"{data!r:.40}", write="[x] for one array x"))
    for number, row in enumerate(cast(Iterable[Any], data), 1):
        where = f"sequence {number}"
        yield row if isinstance(row, Piece) else _checked(row, where)


def _content(line: str, where: str) -> dict[str, Any]:
    content = json_of(line, where, _FORM)
    if not isinstance(content, dict) or not isinstance(content.get("steps", content.get("frames")), list):  # pyright: ignore[reportUnknownMemberType]
        raise DataError(message(f"{where} has neither steps nor frames", came=f"{line!r:.40}", write=_FORM))
    return cast(dict[str, Any], content)


def _sequence(content: dict[str, Any], keys: int, where: str) -> Piece:
    return _of_keys(content["steps"], keys, where) if "steps" in content else _checked(content["frames"], where)


def _of_keys(steps: list[Any], keys: int, where: str) -> Piece:
    frames = np.zeros((len(steps), keys), np.float32)
    for step, active in enumerate(steps):
        for key in cast(list[Any], active if isinstance(active, list) else [active]):
            if not is_whole(key, least=0, most=keys - 1):
                raise DataError(message(f"{where}, step {step + 1}: a key is a number from 0 to {keys - 1}", came=repr(key),
                                        write="keys= with their number, if there are more"))  # fmt: skip
            frames[step, key] = 1
    return _checked(frames, where)


def _checked(row: Any, where: str) -> Piece:
    try:
        frames = np.asarray(row)
    except ValueError:
        raise DataError(message(f"{where} has frames of different widths", write="an array (T, C)")) from None
    if frames.dtype.kind not in "fiub" or frames.ndim != 2 or not frames.size:
        came = f"the shape {frames.shape}" if frames.dtype.kind in "fiub" else f"{row!r:.40}"
        raise DataError(message(f"{where} is no sequence of frames (T, C)", came=came, write="an array of two dimensions"))
    check_finite(frames, where, step="step")
    return Piece(frames, where)
