"""errors.py: one line whatever its parts held, and the names that a mistaken one may have meant."""

from __future__ import annotations

import numpy as np
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


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(1)])
def test_a_whole_number_is_pythons_or_numpys(value: object) -> None:
    found = errors.whole("width", value)
    assert found == 1 and type(found) is int
    assert errors.is_whole(value, least=1, most=1)
    assert not errors.is_whole(value, least=2) and not errors.is_whole(value, most=0)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float32(1), "1", None, 0, np.int64(0), 1j, [1]])
def test_what_is_no_whole_number_of_that_size_is_refused(value: object) -> None:
    assert not errors.is_whole(value, least=1)
    with pytest.raises(errors.ShapeError) as caught:
        errors.whole("width", value, write="width=3")
    assert str(caught.value) == f"width is a whole number from 1; came {value!r}; write width=3"
    with pytest.raises(errors.DataError, match="^width counts steps; came"):
        errors.whole("width", value, rule="counts steps", error=errors.DataError)


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


def test_a_package_that_is_too_old_is_not_called_missing() -> None:
    with pytest.raises(errors.RecellError, match="needs (NumPy|numpy)") as caught, errors.needing("this", "numpy", extra="torch"):
        from numpy.linalg import what_no_version_has  # noqa: F401  # pyright: ignore
    assert "came none installed" not in str(caught.value) and np.__version__ in str(caught.value)
