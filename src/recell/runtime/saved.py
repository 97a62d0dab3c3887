"""A model folder: ``config.json``, ``model.safetensors``, ``vocabulary.json``; written whole, verified when read.

config.json holds the length and hash of every other file, so that a folder that is missing a file, was
damaged or is a mixture of two models is refused before any of it is used. Nothing in a folder is ever run:
the cell is a graph.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from recell.data.files import (
    fingerprint,
    json_bytes,
    make_folder,
    named_folder,
    parse_json,
    read_bytes,
    read_json,
    reason,
    sync_folder,
    write_through,
)
from recell.data.vocabulary import Vocabulary
from recell.errors import DataError, ModelError
from recell.language.cell import Cell

FORMAT = 1
CONFIG, TENSORS = "config.json", "model.safetensors"
Tensors = Mapping[str, NDArray[Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class SavedModel:
    """A folder's content, read once and verified."""

    folder: Path
    config: dict[str, Any]
    files: dict[str, bytes]

    @property
    def task(self) -> str:
        """The task that wrote it: the stem of its file in recell.tasks."""
        return self.entry("task", kind=str)

    def entry(self, *keys: str, kind: type[T]) -> T:
        """An entry of config.json, by the keys that lead to it; raises ModelError where it is not a ``kind``."""
        value: Any = self.config
        for key in keys:
            inner: Any = cast(dict[str, Any], value).get(key) if isinstance(value, dict) else None
            value = inner
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            where = ".".join(keys)
            raise ModelError(f"{self.folder / CONFIG} is damaged: {where!r} should be {kind.__name__}; came {value!r:.60}")
        return value

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays, each with memory of its own; raises ModelError where the file is no safetensors."""
        try:
            arrays = safetensors.numpy.load(self.files[TENSORS])
        except (safetensors.SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{self.folder / TENSORS} is damaged: {error}") from None
        return {name: np.array(array) for name, array in arrays.items()}

    def vocabulary(self) -> Vocabulary:
        """The vocabulary that config.json names."""
        name = self.entry("vocabulary", kind=str)
        path = self.folder / name
        if name not in self.files:
            raise ModelError(f"{self.folder / CONFIG} names no such file: {name}")
        return Vocabulary.from_json(parse_json(self.files[name], path, ModelError), path)

    def cell(self) -> Cell:
        """The cell, from its graph; raises ModelError where the graph does not verify."""
        try:
            return Cell.from_json(self.entry("network", "cell", kind=dict))
        except ModelError as error:
            raise ModelError(f"{self.folder / CONFIG}: the cell's graph does not verify: {error}") from None


def read_saved(folder: str | Path) -> SavedModel:
    """Read and verify a model folder; raises ModelError in one line where anything is missing or damaged."""
    folder = named_folder(folder)
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}; give the folder that `recell train` or save() wrote")
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} is no model folder: {CONFIG} is missing; a broken-off training goes on with --resume")
    config = read_json(folder / CONFIG, ModelError)
    if config.get("format") != FORMAT:
        raise ModelError(f"{folder / CONFIG} has format {config.get('format')!r}; this recell reads format {FORMAT}")
    if config.get("sha256") != config_hash(config):
        raise ModelError(f"{folder / CONFIG} is damaged: its content is not what was saved")
    listed: Any = config.get("files")
    if not isinstance(listed, dict) or TENSORS not in listed:
        raise ModelError(f"{folder / CONFIG} is damaged: it does not list the model's files")
    files = {name: _verified(folder, name, entry) for name, entry in cast(dict[str, Any], listed).items()}
    return SavedModel(folder, config, files)


def write_saved(
    folder: str | Path,
    config: Mapping[str, Any],
    files: Mapping[str, bytes],
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write a model folder: every file complete under a temporary name first, then all take their places.

    What is ``beside`` (a log, say) is no part of the model: it may change or go without the model being
    refused. Raises DataError where the disk refuses. Broken off at any moment, by an error or a kill, the folder
    still holds the model that it held before: until config.json is replaced, the old files stay under a second name.
    Other files of the folder stay as they are; DataError where its config.json is not a model's.
    """
    folder = named_folder(folder)
    make_folder(folder)
    _refuse_foreign(folder)
    _settle(folder)
    listed = {name: fingerprint(content) for name, content in files.items()}
    described = {"format": FORMAT, **config, "files": listed}
    described["sha256"] = config_hash(described)
    # config.json comes last: without it a folder is no model
    contents = {**(beside or {}), **files, CONFIG: json_bytes(described)}
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in contents}
    try:
        for name, content in contents.items():
            write_through(temporary[name], content)
        for name in files:
            if (folder / name).exists():
                os.link(folder / name, _second_name(folder, name))
        sync_folder(folder)
        for name in contents:
            os.replace(temporary[name], folder / name)
        sync_folder(folder)
        _settle(folder)
    except OSError as error:
        raise DataError(f"could not save the model in {folder}: {reason(error)}") from error
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """DataError where config.json is not a model folder's: another program's model may lie there."""
    path = folder / CONFIG
    if path.exists():
        try:
            config = read_json(path, DataError)
        except DataError:
            config = {}
        if not {"format", "sha256", "files"} <= config.keys():
            raise DataError(f"{path} is none that recell wrote, and saving would overwrite it; write another folder")


def config_hash(config: Mapping[str, Any]) -> str:
    """The hash of a config's content, its own entry aside."""
    content = {name: value for name, value in config.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def tensors_bytes(tensors: Tensors) -> bytes:
    """The content of a safetensors file."""
    return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in tensors.items()})


def _second_name(folder: Path, name: str) -> Path:
    """Where a file waits while another model is written over it."""
    return folder / f".{name}.before"


def _settle(folder: Path) -> None:
    """Ends a save that was broken off: a file that config.json still means takes its name back, the others go."""
    waiting = [path for path in folder.glob(".*.before") if path.is_file()]
    if not waiting:
        return
    config = read_json(folder / CONFIG, ModelError) if (folder / CONFIG).is_file() else {}
    listed: Any = config.get("files") or {}
    for path in waiting:
        name = path.name[1 : -len(".before")]
        if fingerprint(path.read_bytes()) == listed.get(name):
            os.replace(path, folder / name)
        path.unlink(missing_ok=True)


def _verified(folder: Path, name: str, expected: Any) -> bytes:
    if Path(name).name != name or "\0" in name:  # a folder's config must not reach files outside it
        raise ModelError(f"{folder / CONFIG} is damaged: {name!r} is no file of this folder")
    before = _second_name(folder, name)
    if before.is_file():  # a save was broken off: the file that config.json means may still bear its second name
        content = read_bytes(before, ModelError)
        if fingerprint(content) == expected:
            return content
    content = read_bytes(folder / name, ModelError)
    if fingerprint(content) != expected:
        raise ModelError(f"{folder / name} is damaged: its {len(content):,} bytes are not those that were saved")
    return content
