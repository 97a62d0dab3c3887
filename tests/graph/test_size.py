"""Sizes: linear expressions, read and printed; the unifier, that settles them one equation at a time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recell import CellError, ShapeError
from recell.graph.size import Size, Unifier

SYMBOLS = ("input", "hidden", "context")
numbers = st.fractions(min_value=-5, max_value=5, max_denominator=4)
sizes = st.builds(
    lambda factors, constant: sum((Size.symbol(s).scaled(f) for s, f in zip(SYMBOLS, factors, strict=True)), Size((), constant)),
    st.tuples(numbers, numbers, numbers),
    numbers,
)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("hidden", "hidden"), ("2*hidden", "2*hidden"), ("hidden*2", "2*hidden"), ("input/3", "input/3"), (40, "40"),
        ("40", "40"),
        ("2*hidden/3 + 1", "2*hidden/3 + 1"), ("hidden + input", "hidden + input"), ("hidden - input", "hidden - input"),
        ("(hidden + 1)*2", "2*hidden + 2"), ("-hidden + input + hidden", "input"), ("hidden - hidden", "0"),
        ("input/2 - 3", "input/2 - 3"),
    ],
)  # fmt: skip
def test_reading_and_printing(text: str | int, printed: str) -> None:
    assert str(Size.parse(text)) == printed


NOT_LINEAR = ("hidden*input", "hidden**2", "2 hidden", "f(hidden)", "hidden/0", "hidden/input", "__import__('os')")
NOT_NUMBERS = ("", "1.5", "True", "[1]", "'a'", None)


@pytest.mark.parametrize("text", [*NOT_LINEAR, *NOT_NUMBERS])
def test_what_is_no_linear_expression_is_refused(text: object) -> None:
    with pytest.raises(CellError, match="a size must be a whole number or a linear expression"):
        Size.parse(text)  # pyright: ignore[reportArgumentType]


@given(sizes)
def test_what_is_printed_is_read_back(size: Size) -> None:
    assert Size.parse(str(size)) == size


@given(sizes, sizes, numbers)
def test_they_add_and_scale_like_numbers(a: Size, b: Size, factor: Fraction) -> None:
    table = {"input": 12, "hidden": 35, "context": 100}
    value = lambda s: sum((f * table[n] for n, f in s.terms), s.constant)  # noqa: E731
    assert value(a + b) == value(a) + value(b) and value(a - b) == value(a) - value(b)
    assert value(a.scaled(factor)) == factor * value(a)
    assert a + b == b + a and (a - a) == Size()


def test_numbers_must_be_whole_and_at_least_one() -> None:
    assert Size.parse("2*hidden/3").evaluate({"hidden": 6}) == 4
    with pytest.raises(ShapeError, match=r"came 4.66667 with hidden = 7; write hidden = 9"):
        Size.parse("2*hidden/3").evaluate({"hidden": 7})
    with pytest.raises(ShapeError, match="at least 1; came 0"):
        Size.parse("hidden - 3").evaluate({"hidden": 3})
    with pytest.raises(ShapeError, match=r"the size 'context' has no number; came \['hidden'\]; write sizes="):
        Size.symbol("context").evaluate({"hidden": 3})


def test_an_unknown_size_is_settled_by_an_equation() -> None:
    unifier = Unifier()
    a, b = unifier.fresh(), unifier.fresh()
    assert unifier.equate(a + Size.number(1), Size.parse("2*hidden"))
    assert unifier.equate(b.scaled(2), a)
    assert str(unifier.reduce(a)) == "2*hidden - 1" and str(unifier.reduce(b)) == "hidden - 1/2"


def test_the_newest_unknown_is_settled_first() -> None:
    unifier = Unifier()
    old, new = unifier.fresh(), unifier.fresh()
    assert unifier.equate(old, new)
    assert unifier.reduce(new) == old and unifier.reduce(old) == old


def test_only_input_may_be_forced() -> None:
    unifier = Unifier()
    assert unifier.equate(Size.symbol("input"), Size.parse("2*hidden"))
    assert str(unifier.forced_input) == "2*hidden" and str(unifier.reduce(Size.parse("input/2"))) == "hidden"
    assert unifier.equate(Size.symbol("input"), Size.parse("2*hidden"))
    assert not unifier.equate(Size.symbol("hidden"), Size.symbol("context"))
    assert not unifier.equate(Size.symbol("input"), Size.symbol("context"))
    assert not unifier.equate(Size.number(3), Size.number(4))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(-2, 2)), max_size=8))
def test_settled_sizes_satisfy_every_equation(equations: list[tuple[int, int, int]]) -> None:
    unifier = Unifier()
    unknowns = [unifier.fresh() for _ in range(4)] + [Size.symbol("hidden")]
    accepted = [(a, b, k) for a, b, k in equations if unifier.equate(unknowns[a], unknowns[b].scaled(2) + Size.number(k))]
    for a, b, k in accepted:
        assert unifier.reduce(unknowns[a]) == unifier.reduce(unknowns[b].scaled(2) + Size.number(k))


def test_where_a_part_begins_may_be_zero() -> None:
    begin = Size.parse("hidden - input")
    assert begin.evaluate({"hidden": 4, "input": 4}, least=0) == 0
    with pytest.raises(ShapeError, match="at least 0; came -1 with"):
        begin.evaluate({"hidden": 3, "input": 4}, least=0)
    with pytest.raises(ShapeError, match="at least 1; came 0 with"):
        begin.evaluate({"hidden": 4, "input": 4})
