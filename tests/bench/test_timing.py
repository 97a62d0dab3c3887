from __future__ import annotations

import itertools

import pytest

from recell.bench.timing import in_child, medians, take_turns
from recell.errors import RecellError


def test_sides_take_turns_and_only_runs_that_count_are_counted() -> None:
    """The clock moves by what a side says it takes: a different time for each of its runs."""
    now, order = [0.0], []

    def side(name: str, first: float):
        durations = itertools.count(first)

        def step() -> None:
            order.append(name)
            now[0] += next(durations)

        return step

    sides = {"a": side("a", 100), "b": side("b", 500)}
    taken = take_turns(sides, rounds=2, warm=1, runs=2, settle=1, clock=lambda: now[0], whole=lambda: True)
    assert order == ["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3
    assert taken == {"a": [104, 105, 107, 108], "b": [504, 505, 507, 508]}
    assert medians(taken) == {"a": 106, "b": 506}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("1 1 1 1", [2, 3, 4]),  # the first round warms up
        ("1 1 0 1 1 1", [2, 5, 6]),  # a round with a lack before or after it is run again
        ("0 0 0 1 1 0 0 0 0 0", [2, 3, 4, 5, 6, 7, 8, 9, 10]),  # too few: all count
        ("1 1 1 0 0 0 0 0 0 0", [2, 3]),
    ],
)
def test_rounds_without_all_cores_do_not_count(seen: str, expected: list[int]) -> None:
    now, lasts, told = [0.0], itertools.count(1), iter(seen.split())

    def step() -> None:
        now[0] += next(lasts)

    taken = take_turns({"a": step}, rounds=3, warm=1, clock=lambda: now[0], whole=lambda: next(told) == "1")
    assert taken == {"a": expected}


def test_what_a_child_returns_and_how_it_fails() -> None:
    assert in_child("operator:add", [1], [2]) == [1, 2]
    with pytest.raises(RecellError, match="ZeroDivisionError") as raised:
        in_child("operator:truediv", 1, 0)
    assert "\n" not in str(raised.value)


def test_a_child_has_the_environment_that_it_is_given() -> None:
    assert in_child("os:getenv", "RECELL_BENCH_TEST", environment={"RECELL_BENCH_TEST": "here"}) == "here"
