from __future__ import annotations

import pytest

from recell.data.text import read_text
from recell.errors import DataError


def test_text_comes_exactly_as_it_stands(tmp_path) -> None:
    text = "Zeile\r\nzwei e\u0301 语\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert read_text(tmp_path / "a.txt") == text
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_text(str(tmp_path / "b.txt")) == text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"abc\xe9def", "byte 0xe9 at offset 3"),
        ("text".encode("utf-16"), "UTF-16"),
        (b"ok \xe8\xaf", "offset 3"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path, content: bytes, says: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_text(tmp_path / "a.txt")
    assert "\n" not in str(caught.value) and "a.txt" in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_text("a\0b")
