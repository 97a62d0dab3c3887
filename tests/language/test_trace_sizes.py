"""Sizes are tied while a cell is recorded: what follows from the equations, and what contradicts them."""

from __future__ import annotations

import pytest

from recell import CellError, ShapeError, cell, concat, relu, sigmoid, split, tanh
from recell.language.cell import Cell


def shapes(definition: Cell, input_size: int = 3, hidden_size: int = 5, **sizes: int) -> dict[str, tuple[int, ...]]:
    return {p.name: p.shape for p in definition.parameters(definition.resolve(input_size, hidden_size, sizes))}


def test_untied_sizes_are_hidden() -> None:
    @cell
    def Inner(p, x, h):
        return tanh(p.V @ relu(p.W @ x) + h)

    assert shapes(Inner) == {"V": (5, 5), "W": (5, 3)}


def test_a_local_has_the_size_that_is_named() -> None:
    @cell(sizes={"wide": "4*hidden", "narrow": 2})
    def Sized(p, x, h):
        wide = relu(p.W @ x)
        narrow = p.V @ wide
        return tanh(p.U @ narrow + h)

    assert shapes(Sized) == {"W": (20, 3), "V": (2, 20), "U": (5, 2)}


def test_untied_parts_of_a_concat_are_equal_and_parts_of_a_split_too() -> None:
    @cell
    def Joined(p, x, h):
        return concat(tanh(p.A @ x), tanh(p.B @ h))

    with pytest.raises(ShapeError, match="hidden/2 must be a whole number.*came 2.5 with hidden = 5; write hidden = 6"):
        Joined.resolve(3, 5)
    assert shapes(Joined, 3, 6) == {"A": (3, 3), "B": (3, 6)}

    @cell
    def Split(p, x, h):
        a, b, c = split(p.W @ x, 3)
        return tanh(a + b * c + h)

    assert shapes(Split) == {"W": (15, 3)}


def test_only_input_may_be_forced_and_the_cell_says_so() -> None:
    @cell
    def Residual(p, x, h):
        return tanh(p.U @ h) + x

    assert shapes(Residual, 5, 5) == {"U": (5, 5)}
    with pytest.raises(ShapeError, match="Residual needs an input as wide as hidden, 5; came input_size=3; write input_size=5"):
        Residual.resolve(3, 5)


def test_two_other_symbols_forced_equal_are_an_error_at_definition() -> None:
    line = r"Forced, line \d+: the sizes of h \(vector of hidden\) and s \(vector of context\) don't fit in add"
    with pytest.raises(CellError, match=line):

        @cell(sizes={"s": "context"})
        def Forced(p, x, h, s):
            h = tanh(h + s)
            return h, p.W @ x + s


def test_a_size_1_vector_does_not_broadcast() -> None:
    with pytest.raises(CellError, match="don't fit in mul; came"):

        @cell(sizes={"k": 1})
        def One(p, x, h):
            k = sigmoid(p.W @ x)
            return k * h


def test_sizes_that_contradict_a_local() -> None:
    with pytest.raises(CellError, match="the size of 'a' does not fit; came hidden and context"):

        @cell(sizes={"a": "context"})
        def Local(p, x, h):
            a = h * 2
            return tanh(p.W @ x + a)


def test_an_unknown_key_of_sizes_is_refused() -> None:
    with pytest.raises(CellError, match="sizes names no state or local: there is no name of this name; came 'gatee'; write gate"):

        @cell(sizes={"gatee": "context"})
        def Keys(p, x, h):
            gate = sigmoid(p.W @ x)
            return gate * h


def test_a_new_state_of_another_size_is_refused() -> None:
    with pytest.raises(CellError, match="the state 'h' has size hidden, but its new value has .*; came return h; write sizes="):

        @cell
        def Wide(p, x, h):
            return concat(h, tanh(p.matrix("W", rows="hidden") @ x))


def test_the_size_between_two_chained_products_must_be_named() -> None:
    with pytest.raises(CellError, match="the size between two chained products .* rows="):

        @cell
        def Chained(p, x, h):
            return tanh(p.A @ (p.B @ x) + p.U @ h)

    with pytest.raises(CellError, match="the size between two chained products"):

        @cell
        def Multiplied(p, x, h):
            return tanh((p.A @ p.B) @ x + p.U @ h)

    @cell(sizes={"z": "rank"})
    def Named(p, x, h):
        z = p.B @ x
        return tanh(p.A @ z + p.U @ h)

    assert Named.parameters(Named.resolve(3, 5, {"rank": 2}))[0].shape == (2, 3)
