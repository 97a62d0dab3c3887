"""Frames out of files and lists; every fault names its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell.data.frames import FrameFile, sequences_of
from recell.errors import DataError


def file(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "pieces.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def test_active_keys_become_ones(tmp_path: Path) -> None:
    path = file(tmp_path, {"split": "train", "steps": [[1, 4], [], [0]]}, {"split": "test", "steps": [[2]]})
    [first, second] = FrameFile(path, keys=5)
    np.testing.assert_array_equal(first.frames, [[0, 1, 0, 0, 1], [0] * 5, [1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(second.frames, [[0, 0, 1, 0, 0]])
    [named] = FrameFile(f"{path}#test", keys=5)
    assert named.where == f"{path}, line 2" and len(FrameFile(f"{path}#train")) == 1


def test_values_stay_what_they_are(tmp_path: Path) -> None:
    [found] = FrameFile(file(tmp_path, {"frames": [[0.5, -2], [1e3, 0]]}))
    np.testing.assert_array_equal(found.frames, np.array([[0.5, -2], [1e3, 0]], np.float32))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'steps': []}", "line 2 is no JSON"),
        ({"notes": [[1]]}, "line 2 has neither steps nor frames"),
        ("[1, 2]", "line 2 has neither steps nor frames"),
        ({"steps": [[1], [5]]}, "line 2, step 2: a key is a number from 0 to 4; came 5"),
        ({"steps": [[1.5]]}, r"step 1: a key is a number from 0 to 4; came 1\.5"),
        ({"steps": []}, "line 2 is no sequence of frames"),
        ({"frames": [[1, 2], [3]]}, "line 2 has frames of different widths"),
        ('{"frames": [[1.0], [NaN]]}', "line 2, step 2 has a value that is no number"),
    ],
)
def test_a_fault_names_file_and_line(tmp_path: Path, line: Any, said: str) -> None:
    path = file(tmp_path, {"steps": [[1]]}, line)
    with pytest.raises(DataError, match=said) as raised:
        list(FrameFile(path, keys=5))
    assert str(path) in str(raised.value)


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sequence of the split 'dev'"):
        list(FrameFile(f"{file(tmp_path, {'split': 'train', 'steps': [[1]]})}#dev"))


def test_lists_and_arrays() -> None:
    one, two = sequences_of(np.arange(12).reshape(2, 3, 2))
    assert one.frames.tolist() == [[0, 1], [2, 3], [4, 5]] and two.frames.tolist() == [[6, 7], [8, 9], [10, 11]]
    with pytest.raises(DataError, match=r"sequence 2 is no sequence of frames .* the shape \(3,\)"):
        list(sequences_of([np.zeros((2, 2)), np.zeros(3)]))
    with pytest.raises(DataError, match="list of arrays"):
        list(sequences_of(3))
