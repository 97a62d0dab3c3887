"""Vectors, images and captions out of files, arrays and lists; every fault names its place."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell.data.captions import CaptionFile, captioned_of, uncaptioned_of
from recell.errors import DataError


def lines(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "captions.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def idx(tmp_path: Path, labels: list[int]) -> Path:
    path = tmp_path / "x-images-idx3-ubyte.gz"
    pixels = bytes(range(2 * 3 * 2))
    path.write_bytes(gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 2) + pixels))
    beside = tmp_path / "x-labels-idx1-ubyte.gz"
    beside.write_bytes(gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + bytes(labels)))
    return path


def test_lines_of_vectors_and_images(tmp_path: Path) -> None:
    path = lines(tmp_path, {"vector": [1, 2.5], "text": "a b"}, {"image": [[1, 2], [3, 4]], "text": "é"})
    one, two = CaptionFile(path)
    assert (one.text, one.value.tolist()) == ("a b", [1, 2.5]) and (two.text, two.value.tolist()) == ("é", [[1, 2], [3, 4]])
    assert len(CaptionFile(path)) == 2
    [bare] = CaptionFile(lines(tmp_path, {"vector": [1]}), labelled=False)
    assert bare.text is None


def test_images_and_what_their_labels_are_called(tmp_path: Path) -> None:
    path = idx(tmp_path, [1, 0])
    one, two = CaptionFile(path)
    assert [one.text, two.text] == ["1", "0"] and two.value.tolist() == [[6, 7], [8, 9], [10, 11]]
    assert [example.text for example in CaptionFile(path, names=["no", "yes"])] == ["yes", "no"]
    with pytest.raises(DataError, match=r"image 1: names has no caption for this label; came 1"):
        list(CaptionFile(path, names=["no"]))
    with pytest.raises(DataError, match="2 images and the file beside it 3 labels"):
        list(CaptionFile(idx(tmp_path, [1, 0, 1])))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 2 is no JSON"),
        ({"text": "a"}, "line 2 has neither a vector nor an image"),
        ({"vector": [1], "image": [[1]], "text": "a"}, "line 2 has both a vector and an image"),
        ({"vector": [1]}, "line 2 has no caption; came None"),
        ({"vector": [1], "text": " "}, "line 2 has no caption"),
        ({"vector": [], "text": "a"}, r"line 2 is neither a vector \(D,\) nor an image"),
        ({"image": [[1, 2], [3]], "text": "a"}, "line 2 has rows of different widths"),
        ('{"vector": [NaN], "text": "a"}', "line 2 has a value that is no number"),
    ],
)
def test_a_fault_names_file_and_line(tmp_path: Path, row: Any, said: str) -> None:
    path = lines(tmp_path, {"vector": [1], "text": "a"}, row)
    with pytest.raises(DataError, match=said) as raised:
        list(CaptionFile(path))
    assert str(path) in str(raised.value)


def test_lists_and_pairs() -> None:
    x = np.arange(12.0).reshape(2, 3, 2)
    beside, paired = captioned_of(x, ["a", "b"]), captioned_of([(x[0], "a"), (x[1], "b")])
    for one, two in zip(beside, paired, strict=True):
        assert one.text == two.text
        np.testing.assert_array_equal(one.value, two.value)
    assert [example.text for example in uncaptioned_of(x)] == [None, None]
    np.testing.assert_array_equal(next(uncaptioned_of([(x[1], "b")])).value, x[1])
    with pytest.raises(DataError, match="2 examples need as many captions; came 1"):
        captioned_of(x, ["a"])
    with pytest.raises(DataError, match="example 1 has no caption"):
        captioned_of(x)
