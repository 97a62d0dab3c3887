from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recell.data.series import read_series
from recell.errors import DataError

HEADER = "# a comment\n@problemName toy\n@dimensions 2\n@classLabel true a b\n@data\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "toy.ts"
    path.write_text(text, encoding="utf-8")
    return path


def test_series_of_different_lengths_come_with_their_classes(tmp_path) -> None:
    path = written(tmp_path, HEADER + "1,2.5,-3:4,5,6:a\n7e-1:8:b\n")
    (first, x, a), (second, y, b) = read_series(path)
    np.testing.assert_array_equal(x, np.float64([[1, 4], [2.5, 5], [-3, 6]]))
    np.testing.assert_array_equal(y, np.float64([[0.7, 8]]))
    assert (first, second, a, b) == (6, 7, "a", "b") and x.dtype == np.float64


def test_a_file_without_classes(tmp_path) -> None:
    [(_, x, label)] = read_series(written(tmp_path, "@classLabel false\n@data\n1,2:3,4\n"))
    assert label is None and x.tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "1,?:2,3:a\n", "line 6, channel 1 has a missing value"),
        (HEADER + "1,2:2,NaN:a\n", "line 6, channel 2 has a value that is no number"),
        (HEADER + "1,2:2,x:a\n", "line 6, channel 2 holds what is no number"),
        (HEADER + "1,2:2,3:a\n1,2:a\n", "line 7 has 1 channels; write 2"),
        (HEADER + "1,2:2:a\n", "line 6 has channels of different lengths"),
        (HEADER + "1,2:2,1:\n", "line 6 has no class"),
        (HEADER + "1,2:2,1:A\n1,2:2,1:c\n", "there is no class that @classLabel names of this name; came 'c'; write a or b"),
        ("@timestamps true\n@data\n", "time stamps"),
        ("1,2:a\n", "line 1 is neither a comment nor an @ line"),
        ("@dimensions two\n@data\n1:a\n", "@dimensions is a whole number"),
        ("@dimensions 2\n", "no line @data"),
    ],
)
def test_every_fault_names_file_and_line(tmp_path, text: str, said: str) -> None:
    with pytest.raises(DataError, match="toy.ts") as refused:
        list(read_series(written(tmp_path, text)))
    assert said in str(refused.value) and "\n" not in str(refused.value)
