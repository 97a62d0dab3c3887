"""Writing a file so that a reader sees the old content or the new, never a part.

The content goes to a temporary name in the same folder, is forced to the disk, and takes the place of the
old file in one rename; the folder is then forced to the disk too, without which a power cut may undo the
rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from recell.errors import DataError, RecellError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step; where the disk refuses: DataError, and the old file stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_through(temporary, content)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise DataError(f"could not write {path}: {reason(error)}; what was there before is untouched") from error


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON, in one step."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """``content`` as JSON; floats keep every bit, as Python prints what reads back the same."""
    return (json.dumps(content, indent=1) + "\n").encode("ascii")


def write_through(path: Path, content: bytes) -> None:
    """Write ``content`` and force it to the disk; raises OSError."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force a folder's entries (creations, renames) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def named_folder(folder: str | Path) -> Path:
    """The folder as a Path; DataError for what is no name, or an empty one: the folder that one happens to stand in."""
    if not isinstance(folder, (str, Path)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(f"a folder is a name or a Path; came {folder!r:.40}; write 'model'")
    if not str(folder).strip():
        raise DataError(f"a folder needs a name; came {str(folder)!r}; write one, or . for the present folder")
    return Path(folder)


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents; raises DataError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"could not create the folder {folder}: {reason(error)}") from error


def read_bytes(path: Path, error: type[RecellError]) -> bytes:
    """The bytes of ``path``; raises ``error`` in one line where the file is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} is missing") from None
    except OSError as problem:
        raise error(f"{path} cannot be read: {reason(problem)}") from None


def parse_json(content: bytes, path: Path, error: type[RecellError]) -> dict[str, Any]:
    """A JSON object out of bytes; raises ``error`` naming ``path`` where they are anything else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as problem:  # ValueError: no UTF-8, no JSON, or a number of thousands of digits
        raise error(f"{path} is damaged: it is not JSON ({problem})") from None
    if not isinstance(value, dict):
        raise error(f"{path} is damaged: it holds a {type(value).__name__} where an object was expected")
    return value  # pyright: ignore[reportUnknownVariableType]


def read_json(path: Path, error: type[RecellError]) -> dict[str, Any]:
    """The JSON object in ``path``; raises ``error`` in one line where it is missing or damaged."""
    return parse_json(read_bytes(path, error), path, error)


def fingerprint(content: bytes) -> dict[str, Any]:
    """Length and SHA-256 of a file's content, by which a damaged file is found before it is used."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def reason(error: OSError) -> str:
    """Why the system refused, in its own words."""
    return error.strerror or str(error)
