"""What is checked when the function has returned: states, outputs, and that everything reaches something."""

from __future__ import annotations

import pytest

from recell import CellError, cell, sigmoid, tanh


def refuse(decorate, function, words: str, offset: int | None = None) -> None:
    """The error's words; with `offset`, the line too."""
    with pytest.raises(CellError) as caught:
        decorate(function)
    line = str(caught.value)
    assert words in line and "\n" not in line, line
    if offset is not None:
        assert line.startswith(f"{function.__name__}, line {function.__code__.co_firstlineno + offset}: "), line


def too_few(p, x, h, c):
    c = tanh(p.W @ x + c)
    return h + c


def too_many(p, x, h):
    h = tanh(p.W @ x + h)
    return h, h * 2


def swapped(p, x, h, c):
    c = sigmoid(p.W @ x) * c
    h = tanh(c) + h
    return c, h


def nothing(p, x, h):
    tanh(p.W @ x + h)


def a_list(p, x, h):
    return [tanh(p.W @ x + h)]


def a_number(p, x, h):
    return 0.5


def a_parameter(p, x, h):
    return p.b


def a_row_number(p, x, h, dt):
    return dt


def unread_state(p, x, h, c):
    h = tanh(p.W @ x + h)
    return h, tanh(p.V @ x)


def for_itself_alone(p, x, h, c):
    h = tanh(p.W @ x + h)
    c = c * 0.5 + h
    return h, c


def unread_time(p, x, h, t):
    return tanh(p.W @ x + h)


def unread_parameter(p, x, h):
    forgotten = p.b * x
    return tanh(p.W @ x + h)


REFUSED = [
    (too_few, "a cell returns one value per state, in their order (h, c); came 1; write return h, c", 2),
    (too_many, "a cell returns one value per state, in their order (h); came 2; write return h", 2),
    (swapped, "bears the name of the state 'c'; came return with c in the place of h; write return h, c", 3),
    (nothing, "a cell returns its new states; came NoneType; write return h, c", None),
    (a_list, "a cell returns its new states; came list; write return h, c", None),
    (a_number, "the new value of the state 'h' must be a vector of the row; came number; write", 1),
    (a_parameter, "the new value of the state 'h' must be a vector of the row; came vector", 1),
    (a_row_number, "the new value of the state 'h' must be a vector of the row; came number", 1),
    (unread_state, "the state 'c' is never read; came a state that reaches no output; use c in an equation", 0),
    (for_itself_alone, "the state 'c' is read only to make itself; came a state that reaches no output", 0),
    (unread_time, "the time t is never read; came an argument t; remove it, or use it", 0),
    (unread_parameter, "the parameter 'b' reaches nothing; came p.b; use its value in an equation of the output, or", 1),
]  # fmt: skip


@pytest.mark.parametrize(("function", "words", "offset"), REFUSED, ids=[f.__name__ for f, _, _ in REFUSED])
def test_what_comes_back_is_checked(function, words: str, offset: int | None) -> None:
    refuse(cell, function, words, offset)


def test_a_state_may_become_another_ones_old_value() -> None:
    """A chain of delays is no swap: what is returned is not a new value that bears a state's name."""

    @cell
    def Delayed(p, x, h, before):
        new = tanh(p.W @ x + p.U @ before)
        return new, h

    assert [s.name for s in Delayed.states] == ["h", "before"]


def two(p, x, h, c):
    g = sigmoid(p.W @ x + p.U @ h)
    c = g * c
    h = tanh(c)
    return h, c


def test_output_is_the_first_state_or_what_is_named() -> None:
    sizes = {"input": 3, "hidden": 5}
    for output, states, wide in ((None, (0,), 5), ("c", (1,), 5), ("g", (-1,), 5), (("c", "g", "h"), (1, -1, 0), 15)):
        made = cell(output=output)(two)
        assert made.graph.output_states == states and made.output_size(sizes) == wide


def test_an_output_that_is_nothing_is_refused_with_the_nearest_name() -> None:
    refuse(cell(output="gg"), two, "output names no state or local of the row: there is no name of this name; came 'gg'; write g")
    refuse(cell(output="t"), two, "output names no state or local")


def test_a_locals_name_means_its_last_binding() -> None:
    @cell(output="g")
    def Rebound(p, x, h):
        g = p.W @ x
        g = tanh(g + h)
        return g * 0.5

    (output,) = Rebound.graph.output
    assert Rebound.graph.nodes[output].op == "tanh"


def test_a_parameter_that_reaches_a_later_step_only_is_used() -> None:
    @cell
    def Later(p, x, h, c):
        return tanh(p.W @ x + c + 0.1 * h), p.V @ x + 0.5 * c

    assert [q.name for q in Later.graph.parameters] == ["W", "V"]


def test_dead_values_are_dropped_and_lose_their_names() -> None:
    @cell
    def Dead(p, x, h):
        unused = tanh(h * 3)
        return tanh(p.W @ x + h)

    assert "unused" not in dict(Dead.graph.names) and sum(n.op == "tanh" for n in Dead.graph.nodes) == 1
