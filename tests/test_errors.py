"""errors.py: one line whatever its parts held, and the names that a mistaken one may have meant."""

from __future__ import annotations

import pytest

from recell import errors


@pytest.mark.parametrize("kind", [errors.CellError, errors.ShapeError, errors.DataError, errors.ModelError])
def test_every_error_is_a_recell_error(kind: type[errors.RecellError]) -> None:
    with pytest.raises(errors.RecellError, match="^one line$"):
        raise kind("one line")


def test_message_joins_the_three_parts_in_order() -> None:
    assert errors.message("what", came=0, write="this") == "what; came 0; write this"
    assert errors.message("what") == "what"


def test_message_is_one_line() -> None:
    assert "\n" not in errors.message("first\nsecond", came="a\n\n  b", write="c\td")


def test_nearest_ignores_case_dashes_and_underscores() -> None:
    names = ["language_model", "Tagger", "GRUResetBefore"]
    assert errors.nearest("Language-Modle", names)[0] == "language_model"
    assert errors.nearest("gru_reset_befor", names)[0] == "GRUResetBefore"


def test_nearest_keeps_the_count_and_finds_nothing_in_noise() -> None:
    assert len(errors.nearest("cell", [f"cell{k}" for k in range(9)], count=2)) == 2
    assert errors.nearest("zzzz", ["LSTM", "GRU"]) == ()


def test_unknown_offers_near_names_else_all() -> None:
    assert errors.unknown("cell", "LSMT", ["GRU", "LSTM"]).endswith("write LSTM")
    assert errors.unknown("cell", "zzzz", ["LSTM", "GRU"]).endswith("write GRU or LSTM")
    assert errors.unknown("name", "zzzz", ["h", "c", "h"]).endswith("write c or h")
    assert errors.unknown("cell", "LSTM", []) == "there is no cell of this name; came 'LSTM'"
