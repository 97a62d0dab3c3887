"""A model folder is written whole: whatever breaks a save off, one of the two models is there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from recell.errors import DataError, ModelError
from recell.runtime import saved

OLD = {"model.safetensors": b"old tensors", "vocabulary.json": b"old words"}
NEW = {"model.safetensors": b"new tensors", "vocabulary.json": b"new words"}


def files_of(folder: Path) -> dict[str, bytes]:
    return saved.read_saved(folder).files


def test_a_save_over_a_model_leaves_nothing_of_the_old_one(tmp_path):
    saved.write_saved(tmp_path, {"task": "x"}, OLD)
    saved.write_saved(tmp_path, {"task": "x"}, NEW)
    assert files_of(tmp_path) == NEW
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors", "vocabulary.json"]


@pytest.mark.parametrize("call", ["link", "replace"])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("how", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "kill"])
def test_a_save_that_is_broken_off_loses_no_model(tmp_path, monkeypatch, call, number, how):
    saved.write_saved(tmp_path, {"task": "x"}, OLD)
    real, count = getattr(os, call), 0

    def failing(*arguments):
        nonlocal count
        count += 1
        if count > number:
            raise how
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(saved.os, call, failing)
        try:
            saved.write_saved(tmp_path, {"task": "x"}, NEW)
            broken_off = False
        except (DataError, KeyboardInterrupt):
            broken_off = True
    assert files_of(tmp_path) == (OLD if broken_off else NEW)
    saved.write_saved(tmp_path, {"task": "x"}, NEW)  # and the next save ends what was broken off
    assert files_of(tmp_path) == NEW
    assert not list(tmp_path.glob(".*"))


def test_a_file_name_that_is_none_is_refused(tmp_path):
    saved.write_saved(tmp_path, {"task": "x"}, {**OLD, "a": b""})
    config = (tmp_path / "config.json").read_text().replace('"a"', '"a\\u0000"')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError):
        saved.read_saved(tmp_path)


@pytest.mark.parametrize("content", ['{"architectures": ["GPT2LMHeadModel"]}', "no JSON", "[]"])
def test_a_config_of_another_program_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(DataError, match="is none that recell wrote"):
        saved.write_saved(tmp_path, {"task": "language_model"}, {"model.safetensors": b""})
    assert (tmp_path / "config.json").read_text() == content and not (tmp_path / "model.safetensors").exists()


def test_tensors_keep_their_shapes_and_values():
    """A parameter that is a single number has no axis; a transposed one is written in its own order."""
    given = {"number": np.array(2.5, np.float32), "turned": np.arange(6.0).reshape(2, 3).T, "none": np.zeros((0, 3))}
    found = safetensors.numpy.load(saved.tensors_bytes(given))
    for name, array in given.items():
        assert found[name].shape == array.shape and found[name].tolist() == array.tolist(), name
