"""Ragged rows as padded tables."""

from __future__ import annotations

import numpy as np
import pytest

from recell.data.ragged import Ragged, side_by_side


def rows_of(seed: int, count: int, shortest: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 1000, length) for length in rng.integers(shortest, 9, count)]


@pytest.mark.parametrize("fill", [0, -100])
def test_rows_stand_side_by_side(fill: int) -> None:
    rows = rows_of(0, 7, 1)
    table = side_by_side(rows, fill)
    assert table.shape == (max(map(len, rows)), 7) and table.flags.c_contiguous
    for n, row in enumerate(rows):
        assert table[: len(row), n].tolist() == row.tolist() and (table[len(row) :, n] == fill).all()


def test_any_rows_of_a_growing_list_in_any_order() -> None:
    kept, rows = Ragged(), rows_of(1, 20, 0)
    for count, row in enumerate(rows, 1):
        kept.append(row)
        assert len(kept) == count
        if count % 3:
            continue  # several are new at a time
        asked = np.random.default_rng(count).integers(0, count, 6)
        table = kept.padded(asked)
        assert kept.lengths(asked).tolist() == [len(rows[number]) for number in asked]
        assert table.shape == (max(1, *(len(rows[number]) for number in asked)), 6)
        for n, number in enumerate(asked):
            assert table[: len(rows[number]), n].tolist() == rows[number].tolist() and not table[len(rows[number]) :, n].any()


def test_the_first_rows_alone_are_kept() -> None:
    kept, rows = Ragged(), rows_of(2, 30, 0)
    for row in rows[:20]:
        kept.append(row)
    kept.cut(25)
    assert len(kept) == 20
    kept.cut(12)
    assert len(kept) == 12
    for row in rows[20:]:
        kept.append(row)
    held = rows[:12] + rows[20:]
    assert len(kept) == len(held) and kept.lengths(np.arange(len(held))).tolist() == list(map(len, held))
    table = kept.padded(np.arange(len(held)))
    assert [table[: len(row), n].tolist() for n, row in enumerate(held)] == [row.tolist() for row in held]


def test_a_new_row_costs_no_copy_of_those_before_it() -> None:
    kept, buffers = Ragged(), list[np.ndarray]()
    for _ in range(2000):
        kept.append(np.arange(3))
        kept.lengths(np.array([0]))
        if not buffers or buffers[-1] is not kept._flat:
            buffers.append(kept._flat)
    assert len(buffers) < 20


def test_rows_without_anything_give_one_empty_step() -> None:
    kept = Ragged()
    for _ in range(3):
        kept.append(np.zeros(0, np.int64))
    assert kept.padded(np.array([2, 0])).tolist() == [[0, 0]]
    assert kept.padded(np.zeros(0, np.int64)).shape == (1, 0)
