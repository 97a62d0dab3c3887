from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recell import worked
from recell.errors import DataError, RecellError


@pytest.mark.parametrize(("name", "suffix", "start"), [("surface", ".png", b"\x89PNG"), ("vanishing", ".svg", b"<?xml")])
def test_a_picture_is_written(name: str, suffix: str, start: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = worked.picture(name, tmp_path / f"drawn{suffix}")
    content = path.read_bytes()
    assert content.startswith(start) and len(content) > 10_000


def test_what_cannot_be_drawn_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="memory has no picture; write surface or vanishing"):
        worked.picture("memory", tmp_path / "a.png")
    with pytest.raises(DataError, match="ends with .png, .svg, .pdf; came a.gif; write a.png"):
        worked.picture("surface", tmp_path / "a.gif")
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecellError, match=r"needs matplotlib; came none installed; write pip install 'recell\[explain\]'"):
        worked.picture("surface", tmp_path / "a.png")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(DataError, match="could not write"):
        worked.picture("vanishing", tmp_path / "none" / "a.png")


def test_a_disk_that_fills_up_leaves_the_earlier_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    path = worked.picture("vanishing", tmp_path / "a.svg")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recell.data.files.os.fsync", full)
    with pytest.raises(DataError, match="No space left on device; what was there before is untouched"):
        worked.picture("vanishing", path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
