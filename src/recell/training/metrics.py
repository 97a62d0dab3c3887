"""The figures of a training, one JSON object per line; after a resume they agree with the checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recell.data.files import make_folder, reason, write_bytes
from recell.errors import DataError

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
    """The records of a file, none where it is missing; a last line that a kill cut off does not count."""
    if not path.exists():
        return []
    records: list[Record] = []
    for line in path.read_bytes().splitlines():
        try:
            records.append(json.loads(line))
        except (UnicodeDecodeError, json.JSONDecodeError):
            break
    return records


def records_bytes(records: list[Record]) -> bytes:
    """The lines of a file with these records."""
    return b"".join(json.dumps(record).encode("ascii") + b"\n" for record in records)
