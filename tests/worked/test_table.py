from __future__ import annotations

import numpy as np
import pytest

from recell.errors import DataError
from recell.worked.table import table, worked


def test_numpys_values_become_pythons() -> None:
    made = table(("a", "b", "c"), [(np.float64(1.5), np.array([[2.5]]), np.array([1, 2]))])
    assert made.rows == ((1.5, 2.5, (1, 2)),)
    assert [type(value) for value in made.rows[0]] == [float, float, tuple]


def test_a_row_is_as_long_as_the_columns() -> None:
    with pytest.raises(DataError, match="each of 2 columns; came 1"):
        table(("a", "b"), [(1,)])


def test_columns_line_up_for_wide_characters_and_several_lines() -> None:
    made = table(("word", "n"), [("天空", 1), ("a\nbc", 2)], "words:")
    assert made.plain().splitlines() == ["words:", "word  n", "天空  1", "a     2", "bc"]
    assert "| a<br>bc | 2 |" in made.markdown() and made.markdown().startswith("words:\n\n| word | n |\n| --- | --- |")


def test_a_column_by_its_name() -> None:
    example = worked("Title\n\n    indented\ntext", table(("a", "b"), [(1, 2), (3, 4)]), source="x", said="more")
    assert example.column("b") == (2, 4) and example.title == "Title" and example.text == "    indented\ntext\n\nmore"
    with pytest.raises(DataError, match="no column of this name; came 'c'"):
        example.column("c")
