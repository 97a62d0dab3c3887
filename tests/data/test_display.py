from __future__ import annotations

import pytest

from recell.data.display import character_width, fold, terminal_width


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("语言", 4), ("e\u0301", 1), ("ﬁ", 1), ("ａｂ", 4), ("\u200bx", 1), ("", 0), ("é", 1)],
)
def test_columns(text: str, columns: int) -> None:
    assert terminal_width(text) == columns


def test_folding_keeps_every_character_and_no_line_passes_the_width() -> None:
    text = "语言 model\nabcdefghijk 模型语言\n"
    folded = fold(text, 5)
    assert folded.replace("\n", "") == text.replace("\n", "")
    assert all(terminal_width(line) <= 5 for line in folded.split("\n"))
    assert fold("ab语c", 3) == "ab\n语c"
    assert fold("one two three", 9) == "one two \nthree"
    assert fold("a语语", 2) == "a\n语\n语"
    assert fold("a 语", 3) == "a \n语"


def test_a_character_wider_than_the_line_stands_alone() -> None:
    assert fold("语言", 1) == "语\n言"
    assert character_width("语") == 2
