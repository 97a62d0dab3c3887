"""Checkpoints that a kill, a full disk or a power cut cannot break.

A checkpoint is a folder ``step-00000200`` with ``tensors.safetensors`` and ``state.json``. It is written
under a temporary name, forced to the disk and renamed; only then do the small files ``latest`` and ``best``
point to it, each replaced in one step; only then are folders removed that neither names. So at every moment
the last good checkpoint stands complete. A pointer holds the hash of ``state.json``, and that the hash of
the tensors: damage is found on load.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from recell.data.files import (
    fingerprint,
    json_bytes,
    make_folder,
    parse_json,
    read_bytes,
    read_json,
    reason,
    sync_folder,
    write_json,
    write_through,
)
from recell.errors import DataError, ModelError

LATEST, BEST = "latest", "best"
_TENSORS, _STATE = "tensors.safetensors", "state.json"
_TEMPORARY = ".writing-"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors of their own memory, and a JSON object."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix.``, without it."""
        start = f"{prefix}."
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}


class Checkpoints:
    """The checkpoints of one training, in one folder that nothing else writes to."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def has(self, which: str = LATEST) -> bool:
        """Whether there is a ``latest`` or ``best`` checkpoint."""
        return (self.folder / which).exists()

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, best: bool = False) -> None:
        """Write the checkpoint of ``step`` and make it the latest, and the best if it is.

        Raises DataError where the disk refuses; the checkpoints there were before are untouched then.
        """
        make_folder(self.folder)
        content = safetensors.torch.save({name: _plain(tensor) for name, tensor in tensors.items()})
        described = json_bytes({"step": step, "tensors": fingerprint(content), "state": dict(state)})
        name = self._write_folder(step, content, described)
        pointer = {"folder": name, "state": fingerprint(described)}
        for which in (BEST, LATEST) if best else (LATEST,):
            write_json(self.folder / which, pointer)
        self._remove_others()

    def load(self, which: str = LATEST) -> Saved:
        """The ``latest`` or ``best`` checkpoint; raises ModelError where it is missing or damaged."""
        pointer = read_json(self.folder / which, ModelError)
        folder = self.folder / str(pointer.get("folder"))
        described = _verified(folder / _STATE, pointer.get("state"))
        outer = parse_json(described, folder / _STATE, ModelError)
        content = _verified(folder / _TENSORS, outer.get("tensors"))
        try:
            tensors = safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise ModelError(f"{folder / _TENSORS} is damaged: {error}") from None
        return Saved(outer["step"], {name: tensor.clone() for name, tensor in tensors.items()}, outer["state"])

    def _write_folder(self, step: int, content: bytes, described: bytes) -> str:
        name = self._free_name(step)
        temporary = self.folder / f"{_TEMPORARY}{name}-{os.getpid()}"
        try:
            self._remove_temporary()
            temporary.mkdir()
            write_through(temporary / _TENSORS, content)
            write_through(temporary / _STATE, described)
            sync_folder(temporary)
            os.rename(temporary, self.folder / name)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise DataError(
                f"could not write a checkpoint in {self.folder}: {reason(error)}; the one before is untouched"
            ) from error
        return name

    def _free_name(self, step: int) -> str:
        """A folder name that no pointer may use: a checkpoint that was named once is never written over."""
        name = f"step-{step:08d}"
        again = 1
        while (self.folder / name).exists():
            again += 1
            name = f"step-{step:08d}-{again}"
        return name

    def _remove_temporary(self) -> None:
        for path in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _remove_others(self) -> None:
        """Remove the checkpoints that no pointer names; what cannot be removed only takes space."""
        named = {read_json(self.folder / w, ModelError).get("folder") for w in (LATEST, BEST) if self.has(w)}
        for path in self.folder.glob("step-*"):
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _verified(path: Path, expected: Any) -> bytes:
    """The content of a file whose length and hash are ``expected``."""
    content = read_bytes(path, ModelError)
    if fingerprint(content) != expected:
        raise ModelError(f"{path} is damaged: its {len(content):,} bytes are not those that were written")
    return content
