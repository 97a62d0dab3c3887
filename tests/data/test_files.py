from __future__ import annotations

import errno
import os

import pytest

from recell.data import files
from recell.errors import DataError, ModelError


def test_a_file_is_replaced_whole(tmp_path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 0.1 + 0.2})
    files.write_json(path, {"x": 1 / 3})
    assert files.read_json(path, ModelError) == {"x": 1 / 3}
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("refused", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, refused: str) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, refused, full)
    with pytest.raises(DataError, match="No space left on device"):
        files.write_json(path, {"x": 2})
    assert files.read_json(path, ModelError) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_cannot_be_read_or_made_says_so(tmp_path) -> None:
    with pytest.raises(ModelError, match="missing"):
        files.read_json(tmp_path / "a.json", ModelError)
    for content in (b"\xff{}", b'{"x": ' + b"9" * 5000 + b"}"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(ModelError, match="damaged"):
            files.read_json(tmp_path / "a.json", ModelError)
    with pytest.raises(DataError, match="could not create"):
        files.make_folder(tmp_path / "a.json" / "b")
