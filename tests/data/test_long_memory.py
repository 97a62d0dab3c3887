"""The tasks of long memory are what their definitions say."""

from __future__ import annotations

import numpy as np
import pytest

from recell.data import adding, copy, copy_chance, parity, temporal_order
from recell.data.long_memory import ADDING_CHANCE, ORDER_SYMBOLS
from recell.errors import DataError


@pytest.mark.parametrize("length", [2, 7, 150])
def test_adding_marks_one_value_in_each_half(length: int) -> None:
    x, y = adding(400, length, seed=1)
    assert x.shape == (400, length, 2) and y.shape == (400,) and x.dtype == np.float32
    values, marks = x[..., 0], x[..., 1]
    assert set(np.unique(marks)) <= {0, 1} and (marks[:, : length // 2].sum(1) == 1).all() and (marks.sum(1) == 2).all()
    np.testing.assert_allclose((values * marks).sum(1), y, rtol=1e-6)
    assert values.min() >= 0 and values.max() < 1


def test_every_place_of_adding_is_marked_some_time() -> None:
    marked = adding(3000, 11, seed=2)[0][..., 1].mean(0)
    assert (np.abs(marked[:5] - 1 / 5) < 0.04).all() and (np.abs(marked[5:] - 1 / 6) < 0.04).all()


def test_the_chance_of_adding() -> None:
    _, y = adding(200_000, 4, seed=3)
    assert abs(((y - 1) ** 2).mean() - ADDING_CHANCE) < 0.002


@pytest.mark.parametrize("gap", [1, 6, 100])
def test_copy_asks_for_what_came_first(gap: int) -> None:
    x, y = copy(50, gap, seed=4)
    assert x.shape == y.shape == (50, gap + 20)
    assert np.array_equal(x[:, :10], y[:, -10:]) and x[:, :10].min() == 1 and x[:, :10].max() == 8
    assert (y[:, :-10] == 0).all() and (x[:, gap + 9] == 9).all() and (x[:, gap + 10 :] == 0).all()
    assert (x[:, 10 : gap + 9] == 0).all() and (x == 9).sum() == 50


def test_the_figure_without_memory() -> None:
    assert copy_chance(100) == pytest.approx(10 * np.log(8) / 120)


def test_temporal_order() -> None:
    x, y, lengths = temporal_order(3000, seed=5)
    assert x.shape == (3000, 110, 8) and set(lengths) == set(range(100, 111))
    for row, kind, length in zip(x, y, lengths, strict=True):
        assert (row[length:] == 0).all() and (row[:length].sum(1) == 1).all()
        text = "".join(ORDER_SYMBOLS[s] for s in row[:length].argmax(1))
        assert text[0] == "E" and text[-1] == "B" and text.count("E") == text.count("B") == 1
        places = [place for place, symbol in enumerate(text) if symbol in "XY"]
        assert len(places) == 2 and 10 <= places[0] <= 20 and 50 <= places[1] <= 60
        assert "".join(text[place] for place in places) == ("XX", "XY", "YX", "YY")[kind]
    assert (np.abs(np.bincount(y) / 3000 - 0.25) < 0.04).all()


def test_one_length_for_all_of_temporal_order() -> None:
    x, _, lengths = temporal_order(7, 30, seed=5)
    assert x.shape == (7, 30, 8) and set(lengths) == {30}
    assert all(np.array_equal(a, b) for a, b in zip(temporal_order(7, 30, 5), temporal_order(7, (30, 30), 5), strict=True))


def test_parity_is_the_exclusive_or_of_all_so_far() -> None:
    x, y = parity(60, 33, seed=6)
    np.testing.assert_array_equal(y, x[..., 0].cumsum(1) % 2)
    np.testing.assert_array_equal(parity(60, 33, seed=6, every_step=False)[1], y[:, -1])


@pytest.mark.parametrize("task", [adding, copy, parity])
def test_a_seed_is_a_set_of_sequences(task) -> None:
    one, same, other = task(9, 12, 1), task(9, 12, 1), task(9, 12, 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True)) and not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("call", [lambda: adding(0), lambda: adding(3, 1), lambda: copy(1, 0), lambda: parity(2, 0),
                                  lambda: temporal_order(2, (9, 20)), lambda: temporal_order(2, (20, 10))])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(call) -> None:
    with pytest.raises(DataError) as refused:
        call()
    assert "\n" not in str(refused.value)
