"""Values are recorded, not computed: every operator gives its op, and what Python would decide at once is refused."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

from recell import CellError, cell, tanh
from recell.language.cell import Cell


def op_of(function) -> str:
    """The op that a function of x (input) and h (state) records."""

    @cell
    def One(p, x, h):
        return tanh(function(p.W @ x, h)) + h

    return One.graph.nodes[next(n for n in One.graph.nodes if n.op == "tanh").inputs[0]].op


@pytest.mark.parametrize(("function", "name"), [
    (operator.add, "add"), (operator.sub, "sub"), (operator.mul, "mul"), (operator.truediv, "div"), (operator.mod, "mod"),
    (operator.lt, "lt"), (operator.le, "le"), (operator.gt, "gt"), (operator.ge, "ge"), (operator.eq, "eq"), (operator.ne, "ne"),
    (lambda a, b: -a + 0 * b, "add"), (lambda a, b: abs(a * b), "abs"), (lambda a, b: 2 + a, "add"), (lambda a, b: 2 - a, "sub"),
    (lambda a, b: 2 * a, "mul"), (lambda a, b: 2 / a, "div"), (lambda a, b: 2 % a, "mod"), (lambda a, b: 2 < a, "gt"),
    (lambda a, b: +(a * b), "mul"), (lambda a, b: a + True, None), (lambda a, b: np.float64(2) * a, "mul"),
])  # fmt: skip
def test_operators(function, name: str | None) -> None:
    if name is None:
        with pytest.raises(CellError, match="an operand must be a value of the step or a number; came bool"):
            op_of(function)
    else:
        assert op_of(function) == name


def test_a_number_first_stays_first() -> None:
    @cell
    def Less(p, x, h):
        return tanh(1 - p.W @ x) * h

    sub = next(n for n in Less.graph.nodes if n.op == "sub")
    assert Less.graph.nodes[sub.inputs[0]].op == "constant"


def branch(p, x, h):
    if h:
        return h
    return tanh(p.W @ x)


def chain(p, x, h):
    return tanh(h < x < 2)


def boolean(p, x, h):
    return tanh(h > 0 and x)


def loop(p, x, h):
    while x:
        h = h + x
    return h


def parts(p, x, h):
    a, b = h
    return a + b


def index(p, x, h):
    return h[0] + x


def length(p, x, h):
    return h * len(x)


def power(p, x, h):
    return h**2 + p.W @ x


def numpy_function(p, x, h):
    return np.tanh(h) + p.W @ x


def numpy_reduction(p, x, h):
    return np.concatenate([h, x])


def numpy_array(p, x, h):
    return h + np.ones(3) * x


def numpy_array_first(p, x, h):
    return np.ones(3) * h


def math_function(p, x, h):
    return h * math.exp(x)


def whole(p, x, h):
    return h * int(x)


def attribute(p, x, h):
    return h.tanh() + x


def integer_division(p, x, h):
    return h // 2 + p.W @ x


def text(p, x, h):
    return h + "1" + p.W @ x


def nothing(p, x, h):
    return h + None + p.W @ x


def product_of_values(p, x, h):
    return h @ x


def product_after(p, x, h):
    return tanh(x @ p.W) + h


def product_of_array(p, x, h):
    return np.ones((3, 3)) @ h


def gated(p, x, h):
    return tanh(h * p.U @ h + p.W @ x)


def builtin_sum(p, x, h):
    return tanh(p.W @ x) + h * sum(h)


REFUSED = [
    (branch, 1, "write where(condition, a, b)"), (chain, 1, "write where(condition, a, b)"),
    (boolean, 1, "write where(condition, a, b)"), (loop, 1, "write where(condition, a, b)"),
    (parts, 1, "write split(value, k)"), (builtin_sum, 1, "or recell.sum(value) in place of Python's sum"),
    (index, 1, "came [0]; write split(value, k)"),
    (length, 1, "came len(value); name sizes by @cell(sizes=...)"), (power, 1, "came ** 2; write v * v"),
    (numpy_function, 1, "write recell's own"), (numpy_reduction, 1, "write recell's own"), (numpy_array, 1, "came ndarray"),
    (numpy_array_first, 1, "came ndarray"), (math_function, 1, "write recell's own, for example recell.tanh"),
    (whole, 1, "write recell's own, for example recell.tanh"), (attribute, 1, "came .tanh; write an op of recell"),
    (integer_division, 1, "unsupported operand type"), (text, 1, "came str"), (nothing, 1, "came NoneType"),
    (product_of_values, 1, "left of @ stand parameters alone; came h"),
    (product_after, 1, "left of @ stand parameters alone; came x"),
    (product_of_array, 1, "left of @ stand parameters alone; came ndarray; write p.W @ x"),
    (gated, 1, "write p.W @ x, and `r * (p.U @ h)`"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "offset", "words"), REFUSED, ids=[f.__name__ for f, _, _ in REFUSED])
def test_what_python_would_decide_is_refused_with_its_line(function, offset: int, words: str) -> None:
    with pytest.raises(CellError) as caught:
        cell(function)
    line = str(caught.value)
    assert words in line and "\n" not in line
    assert line.startswith(f"{function.__name__}, line {function.__code__.co_firstlineno + offset}: ")


def test_a_vector_parameter_times_a_matrix_is_refused() -> None:
    line = r"`r \* p.U @ h` is `\(r \* p.U\) @ h`; write `r \* \(p.U @ h\)`.*came r \(vector.*U \(matrix"
    with pytest.raises(CellError, match=line):

        @cell
        def Wrong(p, x, h):
            p.matrix("U")
            return tanh(p.r * p.U @ h + p.W @ x)


def test_a_number_per_row_times_a_matrix_is_refused() -> None:
    with pytest.raises(CellError, match=r"write `r \* \(p.U @ h\)`"):

        @cell
        def Wrong(p, x, h, dt):
            p.matrix("U")
            return tanh((dt * p.U) @ h + p.W @ x)


def test_parameters_by_key() -> None:
    @cell
    def Keys(p, x, h):
        return tanh(p["W_1"] @ x + p[f"U_{2}"] @ h)

    assert [q.name for q in Keys.parameters(Keys.resolve(2, 3))] == ["W_1", "U_2"]
    for key in ("1W", 3, "a b", ""):
        with pytest.raises(CellError, match="a parameter's name must be a Python name; came"):

            @cell
            def Wrong(p, x, h, *, key=key):
                return tanh(p[key] @ x + h)


def test_values_of_another_cell_are_refused() -> None:
    kept = []

    @cell
    def First(p, x, h):
        kept.append(p.W @ x)
        return tanh(kept[-1]) + h

    assert isinstance(First, Cell)
    with pytest.raises(CellError, match="a value of another cell was used"):

        @cell
        def Second(p, x, h):
            return tanh(p.W @ x + kept[-1]) + h
