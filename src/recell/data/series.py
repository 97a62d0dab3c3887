"""Multivariate series with a class each, from the `.ts` files of the UEA and UCR archives (Bagnall et al. 2018).

Lines that begin with # are comments, lines with @ the header; after `@data` every line is one series: its channels apart by
colons, a channel's values by commas, the class last. Every fault names its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recell.data.numbers import check_finite
from recell.data.text import read_lines
from recell.errors import DataError, message, unknown

Series = NDArray[np.float64]


def read_series(path: str | Path) -> Iterator[tuple[int, Series, str | None]]:
    """The series of a file as they are read: (line, values (T, C), class). DataError for missing values, `?` or NaN, for
    channels of different lengths, and where the number of channels changes."""
    header: dict[str, list[str]] = {}
    channels, found = 0, False
    with read_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if not found:
                found = _read_header(header, line, f"{path}, line {number}")
                channels = _dimensions(header, f"{path}, line {number}") if found else 0
                continue
            values, label = _one(line, header.get("classlabel", ["true"]), f"{path}, line {number}")
            channels = channels or values.shape[1]
            if values.shape[1] != channels:
                said = f"{path}, line {number} has {values.shape[1]} channels"
                raise DataError(message(said, write=f"{channels}, as the others"))
            yield number, values, label
    if not found:
        raise DataError(message(f"{path} has no line @data", write="a .ts file of the UEA or UCR archive"))


def _read_header(header: dict[str, list[str]], line: str, where: str) -> bool:
    """Take in a line of the header; whether the series begin after it."""
    if not line.startswith("@"):
        said = f"{where} is neither a comment nor an @ line"
        raise DataError(message(said, came=f"{line!r:.40}", write="@data before the series"))
    name, *rest = line[1:].split() or [""]
    header[name := name.casefold()] = rest or [""]
    if name == "timestamps" and header[name][0].casefold() == "true":
        raise DataError(message(f"{where}: series with time stamps are not read", write="values at equal steps"))
    return name == "data"


def _dimensions(header: dict[str, list[str]], where: str) -> int:
    """How many channels the header promises, or 0."""
    told = header.get("dimensions", header.get("dimension", ["0"]))[0]
    if not told.isdecimal():
        raise DataError(message(f"{where}: @dimensions is a whole number", came=repr(told)))
    return int(told)


def _one(line: str, told: list[str], where: str) -> tuple[Series, str | None]:
    """A line's series and class; `told` is what @classLabel says: true, and the classes where it names them, or false."""
    parts, classes = line.split(":"), told[1:]
    label = parts.pop().strip() if told[0].casefold() != "false" else None
    if label == "" or not parts:
        raise DataError(message(f"{where} has no class", write="channels and a class, apart by colons"))
    if label is not None and classes and label.casefold() not in map(str.casefold, classes):
        raise DataError(f"{where}: " + unknown("class that @classLabel names", label, classes))
    channels = [_channel(part, f"{where}, channel {n}") for n, part in enumerate(parts, 1)]
    if len(lengths := {len(channel) for channel in channels}) > 1:
        raise DataError(message(f"{where} has channels of different lengths", came=sorted(lengths), write="one length"))
    return np.stack(channels, 1), label


def _channel(text: str, where: str) -> Series:
    values = [value.strip() for value in text.split(",")]
    if "?" in values:
        raise DataError(message(f"{where} has a missing value", came="'?'", write="a number, or leave the series out"))
    try:
        read = np.array(values, np.float64)
    except ValueError:
        said = f"{where} holds what is no number"
        raise DataError(message(said, came=f"{text!r:.40}", write="numbers apart by commas")) from None
    check_finite(read, where)
    return read
