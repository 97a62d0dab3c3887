"""The numerical check itself: it finds a wrong number, and leaves everything as it was."""

from __future__ import annotations

import numpy as np
import pytest

from recell import by_hand
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random


def test_differences_of_a_cubic_are_its_slope_and_leave_no_trace() -> None:
    w = random(0).normal(size=(3, 2))
    before = w.tobytes()
    agree(by_hand.central_differences(lambda: float((w**3).sum()), w), 3 * w**2, 1e-8)
    assert w.tobytes() == before


def test_a_loss_that_breaks_leaves_no_trace() -> None:
    w = np.ones(2)

    def loss() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        by_hand.central_differences(loss, w)
    assert w.tolist() == [1, 1]


def test_one_wrong_number_is_found_and_named() -> None:
    w = random(1).normal(size=(4, 3))
    gradient = 2 * w
    assert by_hand.gradient_check(lambda: float((w**2).sum()), {"w": w}, {"w": gradient})["w"] < 1e-8
    gradient[2, 1] += 1e-4
    with pytest.raises(DataError, match=r"w at \(2, 1\)"):
        by_hand.gradient_check(lambda: float((w**2).sum()), {"w": w}, {"w": gradient})
    assert by_hand.gradient_check(lambda: float((w**2).sum()), {"w": w}, {"w": gradient}, tolerance=None)["w"] > 1e-6


def test_nan_is_wrong() -> None:
    w = np.ones(2)
    with pytest.raises(DataError, match="nan"):
        by_hand.gradient_check(lambda: float(w.sum()), {"w": w}, {"w": [1.0, np.nan]})


def test_wrong_input_is_one_line() -> None:
    w = np.ones(2)
    with pytest.raises(DataError, match="missing"):
        by_hand.gradient_check(lambda: 0.0, {"w": w}, {})
    with pytest.raises(ShapeError, match="another shape"):
        by_hand.gradient_check(lambda: 0.0, {"w": w}, {"w": [0.0]})
    with pytest.raises(DataError, match="float64"):
        by_hand.gradient_check(lambda: 0.0, {"w": np.ones(2, np.float32)}, {"w": [0.0, 0.0]})
