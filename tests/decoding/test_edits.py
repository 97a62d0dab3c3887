"""The edit distance against its recursive definition, and the laws of a distance."""

from __future__ import annotations

from functools import cache

import numpy as np

from recell.decoding import edit_distance


@cache
def defined(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    if not one or not other:
        return len(one) + len(other)
    replaced = defined(one[1:], other[1:]) + (one[0] != other[0])
    return min(replaced, defined(one[1:], other) + 1, defined(one, other[1:]) + 1)


def test_it_is_what_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    rows = [tuple(rng.integers(3, size=rng.integers(0, 8)).tolist()) for _ in range(40)]
    for one, other, third in zip(rows, rows[1:], rows[2:], strict=False):
        assert edit_distance(one, other) == defined(one, other) == edit_distance(other, one)
        assert edit_distance(one, third) <= edit_distance(one, other) + edit_distance(other, third)
        assert edit_distance(one, one) == 0
