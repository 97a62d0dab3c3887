from __future__ import annotations

import os
from pathlib import Path

import pytest

from recell.data.text import json_of, read_lines, read_text
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


@pytest.mark.parametrize("line", ["{", "[" * 100_000, "1" * 5000])
def test_a_line_that_is_no_json_is_named_with_the_form_that_it_should_have(line: str) -> None:
    with pytest.raises(DataError, match=r"a.jsonl, line 2 is no JSON \(.*write \[1\]$") as raised:
        json_of(line, "a.jsonl, line 2", "[1]")
    assert "\n" not in str(raised.value)
    assert json_of('{"a": [1]}', "a.jsonl, line 2", "[1]") == {"a": [1]}


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="pipes have no names here")
def test_a_pipe_is_read_from_its_first_byte() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    with read_lines(f"/dev/fd/{reading}") as lines:
        assert list(lines) == ["one", "two"]
    os.close(reading)
