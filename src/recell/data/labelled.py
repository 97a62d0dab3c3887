"""Texts and series with a label each, or several: from files, folders, lists and arrays. Every fault names its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recell.data.images import labels_beside, read_images
from recell.data.numbers import check_finite
from recell.data.series import read_series
from recell.data.text import EncodingErrors, read_lines
from recell.errors import DataError, message

Label = str | int
Labels = Label | tuple[Label, ...]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A text, or a series (T, C), with its label where it is known; a tuple of labels where it may have several or none."""

    value: str | NDArray[Any]
    label: Labels | None = None
    where: str = ""  # for errors: file and line, or the number in a list
    columns: int = 0  # of an indicator matrix's row: how wide it is; its labels are the numbers of the columns with a 1


class LabelledFile:
    """The examples of a file or folder, read anew each time: it may be larger than memory.

    - `.ts`: series of the UEA and UCR archives.
    - `...images-idx3-ubyte[.gz]`: images row by row, their labels in the file beside it.
    - another file: a label, a tab and a text on each line; without labels a text on each line, after a label and a tab where
      the label is one of ``classes``, those that are known. Any other tab is of the text.
    - a folder with the files `seq.in` and `label`: texts and labels line by line (SNIPS).
    - another folder: a file for each label, a text on each line. The label is the file's name without its suffix, or the
      suffix where names differ in that alone (`reviews.pos`, `reviews.neg`).

    ``separator`` divides the labels of one example where it may have several: `sad|short`. ``encoding_errors`` "replace": what is
    no UTF-8 in a text becomes U+FFFD, in place of a DataError.
    """

    def __init__(self, path: str | Path, *, labelled: bool = True, separator: str | None = None,
                 encoding_errors: EncodingErrors = "strict", classes: Iterable[Label] = ()) -> None:  # fmt: skip
        self.path, self.labelled, self.separator = Path(path), labelled, separator
        self._classes = {str(name).strip() for name in classes}
        self.encoding_errors: EncodingErrors = encoding_errors
        self._count: int | None = None

    def __iter__(self) -> Iterator[Labelled]:
        count = 0
        for example in self._read():
            count += 1
            yield checked(example)
        if not count:
            line = "the channels and the class of a series" if self.path.suffix == ".ts" else "a label, a tab and a text"
            raise DataError(message(f"{self.path} holds no example", write=f"a file with {line} on each line"))
        self._count = count

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self)
        return self._count

    def _read(self) -> Iterator[Labelled]:
        for example in _reader(self.path)(self):
            label = example.label if self.labelled else None
            if self.separator is not None and isinstance(label, str):
                label = tuple(self._parts(label))
            yield Labelled(example.value, label, example.where)

    def knows(self, label: str) -> bool:
        """Whether it is one of the known classes, or several of them."""
        return bool(parts := self._parts(label)) and self._classes.issuperset(parts)

    def _parts(self, label: str) -> list[str]:
        parts = [label] if self.separator is None else label.split(self.separator)
        return [part.strip() for part in parts if part.strip()]


def labelled_of(data: Any, labels: Any = None) -> list[Labelled]:
    """Examples of texts, of series (T, C), or of an array (N, T, C), and their labels; or of (example, label) pairs.

    Labels that are an array (N, K) of 0 and 1 are an indicator matrix, scikit-learn's form of several labels for each: the labels
    are the columns' numbers. An array (N, 1) is one label for each.
    """
    rows = _rows(data)
    if labels is None:
        return [checked(_paired(row, f"example {n}")) for n, row in enumerate(rows, 1)]
    marks, columns = _marks(labels)
    if len(marks) != len(rows):
        raise DataError(message(f"{len(rows)} examples need as many labels", came=len(marks), write="a label for each"))
    return [
        checked(Labelled(_value(row, f"example {n}"), label_of(mark, f"example {n}"), f"example {n}", columns))
        for n, (row, mark) in enumerate(zip(rows, marks, strict=True), 1)
    ]


def unlabelled_of(data: Iterable[Any]) -> Iterator[Labelled]:
    """Examples without labels, as they come; examples with labels are taken too."""
    for number, row in enumerate(_iterable(data), 1):
        where = f"example {number}"
        paired = isinstance(row, Labelled) or (isinstance(row, tuple) and len(cast(Any, row)) == 2 and not _is_number(row[0]))
        yield checked(_paired(row, where) if paired else Labelled(_value(row, where), None, where))


def checked(example: Labelled) -> Labelled:
    """The example itself; DataError where it is empty or has a value that is no number."""
    value, where = example.value, example.where
    if isinstance(value, str):
        if not value.strip():
            raise DataError(f"{where} is an empty text; leave it out, or give it words")
    elif not len(value):
        raise DataError(f"{where} is a series without a step; leave it out")
    else:
        check_finite(value, where)
    return example


def label_of(mark: Any, where: str) -> Labels:
    """A label as plain Python: a text or a whole number, or a tuple of them; DataError for anything else."""
    if isinstance(mark, (list, tuple, Set)) or (isinstance(mark, np.ndarray) and mark.ndim == 1):
        several = [cast(Label, label_of(one, where)) for one in cast(Iterable[Any], mark)]
        if len(set(several)) < len(several) and not isinstance(several[0], str):
            said = f"{where} names a label twice"
            raise DataError(message(said, came=f"{mark!r:.40}", write="each once; 0 and 1 by column: one array (N, labels)"))
        return tuple(sorted(set(several), key=str) if isinstance(mark, Set) else dict.fromkeys(several))
    if isinstance(mark, str) and mark:
        return str(mark)
    if isinstance(mark, (bool, np.bool_)):
        return bool(mark)
    if isinstance(mark, Integral):
        return int(mark)
    raise DataError(message(f"{where} has no label", came=f"{mark!r:.40}", write="a text or a whole number, or a list of them"))


def _marks(labels: Any) -> tuple[list[Any], int]:
    """The labels of the examples, and how wide their indicator matrix is where they are one."""
    if not isinstance(labels, np.ndarray) or labels.ndim < 2:
        return list(labels), 0
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0].tolist(), 0
    if labels.ndim > 2 or labels.dtype.kind not in "fiub" or not ((labels == 0) | (labels == 1)).all():
        said = "labels of two dimensions are an indicator matrix (N, labels) of 0 and 1"
        came = f"the shape {labels.shape}" if labels.ndim > 2 else "other values"
        raise DataError(message(said, came=came, write="a list of labels for each example"))
    return [np.flatnonzero(row).tolist() for row in labels], labels.shape[1]


def _rows(data: Any) -> Sequence[Any]:
    data = _iterable(data)
    if isinstance(data, np.ndarray):
        if data.dtype.kind in "fiub" and data.ndim != 3:
            raise DataError(message("series are an array (N, T, C)", came=f"the shape {data.shape}", write="x[:, :, None]"))
        return cast(Any, data)
    return list(data)


def _iterable(data: Any) -> Any:
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise DataError(message("there must be a list of texts or series", came=f"{data!r:.40}", write='["one text", "another"]'))
    return cast(Any, data)


def _paired(row: Any, where: str) -> Labelled:
    if isinstance(row, Labelled):
        return row
    if not isinstance(row, (tuple, list)) or len(cast(Any, row)) != 2:
        raise DataError(message(f"{where} has no label", came=f"{row!r:.40}", write="(text, label), or labels beside the texts"))
    value, mark = cast(Any, row)
    return Labelled(_value(value, where), label_of(mark, where), where)


def _value(row: Any, where: str) -> str | NDArray[Any]:
    if isinstance(row, str):
        return str(row)
    try:
        series = np.asarray(row)
    except ValueError:
        raise DataError(message(f"{where} has steps of different widths", write="a series (T, C)")) from None
    if series.dtype.kind not in "fiub" or series.ndim != 2:
        came = f"the shape {series.shape}" if series.dtype.kind in "fiub" else f"{row!r:.40}"
        raise DataError(message(f"{where} is neither a text nor a series (T, C)", came=came, write="a text, or x[:, None]"))
    return series


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) == 1)


def _reader(path: Path) -> Any:
    if path.is_dir():
        return _side_by_side if (path / "seq.in").is_file() else _folder
    if path.suffix == ".ts":
        return _series
    return _images if "idx3" in path.name else _tabbed


def _series(source: LabelledFile) -> Iterator[Labelled]:
    for number, values, label in read_series(source.path):
        if source.labelled and label is None:
            raise DataError(message(f"{source.path} has no classes", came="@classLabel false", write="a class for each series"))
        yield Labelled(values, label, f"{source.path}, line {number}")


def _images(source: LabelledFile) -> Iterator[Labelled]:
    path, images = source.path, read_images(source.path)
    labels = labels_beside(path).tolist() if source.labelled else [None] * len(images)
    if len(labels) != len(images):
        raise DataError(f"{path} holds {len(images)} images and the file beside it {len(labels)} labels; fetch both again")
    for number, (image, label) in enumerate(zip(images, labels, strict=True), 1):
        yield Labelled(image, label, f"{path}, image {number}")


def _tabbed(source: LabelledFile) -> Iterator[Labelled]:
    path = source.path
    with read_lines(path, source.encoding_errors) as lines:
        for number, line in enumerate(lines, 1):
            label, tab, text = line.partition("\t")
            if source.labelled and not (tab and label.strip()):
                said = f"{path}, line {number} has no label"
                raise DataError(message(said, came=f"{line!r:.40}", write="a label, a tab and a text"))
            is_cut = source.labelled or (tab and source.knows(label))
            yield Labelled(text if is_cut else line, label if is_cut else None, f"{path}, line {number}")


def _side_by_side(source: LabelledFile) -> Iterator[Labelled]:
    texts, labels = source.path / "seq.in", source.path / "label"
    number, how = 0, source.encoding_errors
    with read_lines(texts, how) as lines, read_lines(labels, how) if source.labelled else nullcontext() as marks:
        for number, text in enumerate(lines, 1):
            label = None if marks is None else next(marks, "").strip()
            if label == "":
                said = f"{labels} has no label at line {number}, where {texts.name} has a text"
                raise DataError(f"{said}; the files need a line each")
            yield Labelled(text, label, f"{texts}, line {number}")
        if marks is not None and next(marks, None) is not None:
            raise DataError(f"{texts} ends after line {number}, where {labels.name} goes on; the files need a line each")


def _folder(source: LabelledFile) -> Iterator[Labelled]:
    files = sorted(file for file in source.path.iterdir() if file.is_file() and not file.name.startswith("."))
    by_suffix = len({file.stem for file in files}) == 1 < len(files)
    for file in files:
        label = file.suffix.removeprefix(".") if by_suffix else file.stem
        with read_lines(file, source.encoding_errors) as lines:
            for number, line in enumerate(lines, 1):
                yield Labelled(line, label, f"{file}, line {number}")
