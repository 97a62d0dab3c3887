"""Vectors and images with a caption each: from files, arrays and lists. Every fault names its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recell.data.images import labels_beside, read_images
from recell.data.numbers import check_finite
from recell.data.text import json_of, read_lines
from recell.errors import DataError, message

_FORM = '{"vector": [0.5, 1.2], "text": "a caption"} or {"image": [[0, 9], [9, 0]], "text": "a caption"}'


@dataclass(frozen=True, eq=False)
class Captioned:
    """A vector (D,) or an image (H, W), with its caption where it is known."""

    value: NDArray[Any]
    text: str | None
    where: str  # for errors: file and line, or the number in a list


class CaptionFile:
    """The examples of a file, read anew each time.

    `...images-idx3-ubyte[.gz]` holds images; the caption of each is its label, in the file beside it, as a text: the number, or
    the one of ``names`` that it counts to. Another file holds JSON lines, each with a `vector` or an `image`, and a `text`;
    it may be larger than memory.
    """

    def __init__(self, path: str | Path, *, labelled: bool = True, names: Sequence[str] | None = None) -> None:
        self.path, self._labelled, self._names = Path(path), labelled, names
        self._count: int | None = None

    def __iter__(self) -> Iterator[Captioned]:
        count = 0
        for example in self._images() if "idx3" in self.path.name else self._lines():
            count += 1
            yield example
        if not count:
            raise DataError(message(f"{self.path} holds no example", write=f"a line for each, such as {_FORM}"))
        self._count = count

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    def _lines(self) -> Iterator[Captioned]:
        with read_lines(self.path) as lines:
            for number, line in enumerate(lines, 1):
                where = f"{self.path}, line {number}"
                content = json_of(line, where, _FORM)
                held = [name for name in ("vector", "image") if isinstance(content, dict) and name in content]
                if len(held) != 1:
                    said = f"{where} has {'both a vector and an image' if held else 'neither a vector nor an image'}"
                    raise DataError(message(said, came=f"{line!r:.40}", write=_FORM))
                yield _checked(content[held[0]], content.get("text") if self._labelled else None, where, self._labelled)

    def _images(self) -> Iterator[Captioned]:
        images = read_images(self.path)
        labels = labels_beside(self.path).tolist() if self._labelled else [None] * len(images)
        if len(labels) != len(images):
            held = f"{len(images)} images and the file beside it {len(labels)} labels"
            raise DataError(f"{self.path} holds {held}; fetch both again")
        for number, (image, label) in enumerate(zip(images, labels, strict=True), 1):
            where = f"{self.path}, image {number}"
            yield Captioned(image, None if label is None else self._named(label, where), where)

    def _named(self, label: int, where: str) -> str:
        if self._names is None:
            return str(label)
        if not 0 <= label < len(self._names):
            raise DataError(message(f"{where}: names has no caption for this label", came=label, write=f"{label + 1} names"))
        return self._names[label]


def captioned_of(data: Any, captions: Any = None) -> list[Captioned]:
    """The examples of vectors (N, D) or images (N, H, W), as an array or a list, and their captions; or of pairs of both."""
    rows = list(_iterable(data))
    if captions is None:
        return [_paired(row, f"example {number}") for number, row in enumerate(rows, 1)]
    texts = [captions] if isinstance(captions, str) else list(captions)
    if len(texts) != len(rows):
        raise DataError(message(f"{len(rows)} examples need as many captions", came=len(texts), write="a caption for each"))
    return [_checked(row, text, f"example {n}", True) for n, (row, text) in enumerate(zip(rows, texts, strict=True), 1)]


def uncaptioned_of(data: Any) -> Iterator[Captioned]:
    """Examples without captions, as they come; pairs with captions are taken too."""
    for number, row in enumerate(_iterable(data), 1):
        value: Any = row[0] if _is_pair(row) else row
        yield row if isinstance(row, Captioned) else _checked(value, None, f"example {number}", False)


def _iterable(data: Any) -> Iterable[Any]:
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise DataError(message("there must be a list or array of vectors or images", came=f"{data!r:.40}", write="[x] for one"))
    return cast(Iterable[Any], data)


def _is_pair(row: Any) -> bool:
    return isinstance(row, (tuple, list)) and len(cast(Any, row)) == 2 and isinstance(row[1], str)


def _paired(row: Any, where: str) -> Captioned:
    if isinstance(row, Captioned):
        return row
    if not _is_pair(row):
        raise DataError(message(f"{where} has no caption", came=f"{row!r:.40}", write="(vector, text), or captions beside them"))
    return _checked(row[0], row[1], where, True)


def _checked(value: Any, text: Any, where: str, labelled: bool) -> Captioned:
    try:
        numbers = np.asarray(value)
    except ValueError:
        raise DataError(message(f"{where} has rows of different widths", write="an image (H, W)")) from None
    if numbers.dtype.kind not in "fiub" or numbers.ndim not in (1, 2) or not numbers.size:
        came = f"the shape {numbers.shape}" if numbers.dtype.kind in "fiub" else f"{value!r:.40}"
        raise DataError(message(f"{where} is neither a vector (D,) nor an image (H, W)", came=came))
    check_finite(numbers, where)
    if labelled and (not isinstance(text, str) or not text.strip()):
        raise DataError(message(f"{where} has no caption", came=f"{text!r:.40}", write="a text"))
    return Captioned(numbers, text, where)
