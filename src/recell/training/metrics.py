"""The figures of a training, one JSON object per line; after a resume they agree with the checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recell.data.files import make_folder, read_bytes, reason, write_bytes
from recell.errors import DataError, ModelError, is_whole, message

Record = dict[str, Any]


class MetricsLog:
    """Records with a ``step`` each, in memory and, where a path is given, in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[Record] = []
        self._path = path

    def restart(self, step: int) -> None:
        """Go back to ``step``: keep its records and those before; later ones come again when training goes on."""
        if self._path is None:
            self.records = [record for record in self.records if record["step"] <= step]
            return
        self.records = [record for record in read_records(self._path) if record["step"] <= step]
        make_folder(self._path.parent)
        write_bytes(self._path, records_bytes(self.records))

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record; raises DataError where the disk refuses."""
        self.records.append(dict(record))
        if self._path is None:
            return
        try:
            with open(self._path, "ab") as file:
                file.write(records_bytes([dict(record)]))
        except OSError as error:
            raise DataError(f"could not write {self._path}: {reason(error)}") from error

    def sync(self) -> None:
        """Force what was added to the disk, before a checkpoint says that it is there."""
        if self._path is None or not self._path.exists():
            return
        with open(self._path, "rb") as file:
            os.fsync(file.fileno())


def read_records(path: Path) -> list[Record]:
    """The records of a file, none where it is missing; a last line that a kill cut off does not count. ModelError for any other
    line that is no record: what stands after it would be lost."""
    if not path.exists():
        return []
    lines = read_bytes(path, ModelError).splitlines()
    records = [_record(line) for line in lines]
    if None in records[:-1]:
        number = records.index(None)
        what = f"{path}, line {number + 1} is damaged: it is no record of a step"
        raise ModelError(message(what, came=f"{lines[number]!r:.60}", write="the line as it was, or take it out"))
    return [record for record in records if record is not None]


def _record(line: bytes) -> Record | None:
    """A line's record; None where it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and is_whole(record.get("step")) else None


def records_bytes(records: list[Record]) -> bytes:
    """The lines of a file with these records."""
    return b"".join(json.dumps(record).encode("ascii") + b"\n" for record in records)
