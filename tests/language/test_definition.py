"""What `@cell` reads of a function: its arguments, constants, initial values and sizes; other forms are refused."""

from __future__ import annotations

import pytest

from recell import CellError, cell, tanh


def test_t_and_dt_as_keywords_are_constants() -> None:
    @cell
    def Euler(p, x, h, *, dt=0.1, t=2):
        return h + dt * tanh(p.W @ x + t * h)

    assert not Euler.uses_elapsed and not Euler.uses_time and Euler(dt=0.2) != Euler


def plain(p, x, h):
    return tanh(p.W @ x + p.U @ h)


def short(p, x):
    return x


def no_state(p, x, dt):
    return x * dt


def star(p, x, *states):
    return states


def keywords(p, x, h, **others):
    return h


def default(p, x, h=None):
    return h


@pytest.mark.parametrize(("function", "words"), [
    (short, "short: a cell takes p, x and at least one state; came (p, x); write def short(p, x, h)"),
    (no_state, "no_state: a cell has at least one state; came (p, x, dt); write def no_state(p, x, h)"),
    (star, "star: arguments are p, x, the states, and keyword-only constants; came *states"),
    (keywords, "came **others; write def Cell(p, x, h, *, constant=1.0)"),
    (default, "default: a state has no default; came h=None; write a constant after *, an initial state by @cell(initial={...})"),
])  # fmt: skip
def test_functions_of_another_form_are_refused(function, words: str) -> None:
    with pytest.raises(CellError) as caught:
        cell(function)
    assert words in str(caught.value)


def test_initial_must_name_a_state() -> None:
    with pytest.raises(CellError, match="initial names no state: there is no state of this name; came 'n'; write h"):
        cell(initial={"n": 1.0})(plain)


def test_sizes_must_be_linear() -> None:
    with pytest.raises(CellError, match="a size must be a whole number or a linear expression of symbols; came 'hidden.hidden'"):
        cell(sizes={"h": "hidden*hidden"})(plain)


def test_what_stands_beside_the_equations_is_checked_at_definition() -> None:
    def step(p, x, h):
        return tanh(p.W @ x + p.U @ h)

    with pytest.raises(CellError, match="initial value of the state 'h' must be a number; came 'one'"):
        cell(initial={"h": "one"})(step)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CellError, match="defaults names no size: .* 'context'"):
        cell(defaults={"context": 40})(step)
    with pytest.raises(CellError, match="@cell stands above a function; came 5"):
        cell(5)  # pyright: ignore
