"""Reading a text file, with one clear line for everything that can be wrong with it."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from recell.data.files import reason
from recell.errors import DataError, message

EncodingErrors = Literal["strict", "replace"]  # what becomes of bytes that are no UTF-8: an error, or the mark U+FFFD
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, exactly as it stands: line ends and composed characters are left alone.

    A leading byte-order mark is no part of the text. Raises DataError for a file that is missing, a folder,
    empty, not readable or not UTF-8 (with the offset of the first wrong byte).
    """
    path = Path(path)
    content = _content(path)
    _check_utf16(path, content)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start:,} "
            f"({error.reason}); convert it to UTF-8, with iconv for example"
        ) from None
    text = text.removeprefix("\ufeff")
    if not text:
        raise DataError(f"{path} is empty; give a file with text in it")
    return text


def read_lines(path: str | Path, encoding_errors: EncodingErrors | None = None) -> closing[Generator[str, None, None]]:
    """``with read_lines(path) as lines``: the lines of a UTF-8 file without their ends, as they are read.

    The file may be larger than memory, and is closed where the block ends, also by an error. DataError as `read_text`;
    a caller with an option ``encoding_errors`` hands it on, and the error then offers it. With "replace", what is no UTF-8
    becomes U+FFFD.
    """
    return closing(_lines(Path(path), encoding_errors))


def json_of(line: str, where: str, form: str) -> Any:
    """What a line of JSON says. DataError with its place, and the form that was wanted, where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(message(f"{where} is no JSON ({error})", came=f"{line.strip()!r:.40}", write=form)) from None


def _lines(path: Path, encoding_errors: EncodingErrors | None) -> Generator[str, None, None]:
    try:
        with open(path, "rb") as content:
            _check_utf16(path, content.peek(2)[:2])  # opened once: what was read of a pipe does not come again
            with io.TextIOWrapper(content, encoding="utf-8-sig", errors=encoding_errors) as file:
                for line in file:
                    yield line.removesuffix("\n")
    except (OSError, ValueError) as error:
        try:
            read_text(path)  # says what is wrong in one line
        except DataError as said:
            if encoding_errors == "strict" and isinstance(error, UnicodeDecodeError):
                raise DataError(f"{said}, or write encoding_errors='replace', which puts U+FFFD in its place") from None
            raise
        if isinstance(error, UnicodeDecodeError):  # of a pipe, whose beginning does not come again
            raise DataError(f"{path} is not UTF-8: {error.reason}; convert it to UTF-8, with iconv for example") from None
        raise


def _check_utf16(path: Path, content: bytes) -> None:
    if content.startswith(_UTF16):
        raise DataError(f"{path} is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {path}")


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder; name one text file in it")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give the path of a UTF-8 text file") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(f"{str(path)[:60]} cannot be read: {why}") from None
