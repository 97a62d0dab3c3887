from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from recell.data.images import labels_beside, read_idx, read_images
from recell.errors import DataError


def idx(array: np.ndarray, kind: int) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def test_images_and_the_labels_beside_them(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 2), np.uint8)
    (tmp_path / "t-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images, 8)))
    (tmp_path / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(5, dtype=np.uint8), 8)))
    np.testing.assert_array_equal(read_images(tmp_path / "t-images-idx3-ubyte.gz"), images)
    assert labels_beside(tmp_path / "t-images-idx3-ubyte.gz").tolist() == [0, 1, 2, 3, 4]


def test_wide_numbers_are_read_in_the_order_of_the_file(tmp_path) -> None:
    values = np.array([[1.5, -2], [3, 1e30]], ">f4")
    (tmp_path / "x").write_bytes(idx(values, 0x0D))
    read = read_idx(tmp_path / "x")
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.float32 and read.dtype.isnative


def test_what_is_damaged_is_refused(tmp_path) -> None:
    whole = idx(np.zeros((2, 2), np.uint8), 8)
    beyond = struct.pack(">HBB4I", 0, 8, 4, *[2**16] * 4)  # 2^64 values: 0 in 64 bits
    contents = (b"", b"\x89PNG....", whole[:-1], whole + b"x", whole[:7], gzip.compress(whole)[:-9], beyond)
    for number, content in enumerate(contents):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with pytest.raises(DataError, match=str(path)):
            read_idx(path)
    (tmp_path / "flat").write_bytes(whole)
    with pytest.raises(DataError, match="no grey images"):
        read_images(tmp_path / "flat")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "missing")
    with pytest.raises(DataError, match="labels"):
        labels_beside(tmp_path / "flat")


@pytest.mark.parametrize("labels", (np.array(3, np.uint8), np.ones((2, 2), np.uint8), np.array([1, 2], ">f4")))
def test_labels_are_one_whole_number_for_each_image(tmp_path, labels) -> None:
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(idx(labels, 0x0D if labels.dtype.kind == "f" else 8))
    with pytest.raises(DataError, match="no whole number for each image"):
        labels_beside(tmp_path / "t-images-idx3-ubyte")
