"""THE op table: one row an op, with its arguments, kind, NumPy meaning and derivative.

A derivative is text in the cell language: `a`, `b`, `c` are the arguments, `y` the result, `g` the adjoint of the
result; one text an argument, `None` where no gradient flows. Broadcasting is undone by the compiler, not here.

In NumPy a row vector is (N, size), a row scalar (N, 1), a parameter vector (size,), a parameter scalar ().
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Op:
    """One row of the table."""

    name: str
    arguments: str
    kind: str  # leaf, point (elementwise), row (reads whole rows), layout, product, matrix, reduce
    numpy: Callable[..., Any] | None
    derivative: tuple[str | None, ...]
    infix: str | None = None
    latex: str | None = None  # a function's name, or with # for what stands inside

    @property
    def arity(self) -> int:
        """How many arguments it takes."""
        return len(self.arguments.split())


OPS: dict[str, Op] = {}


def op(name: str, arguments: str, kind: str, meaning: Callable[..., Any] | None, *derivative: str | None,
       infix: str | None = None, latex: str | None = None) -> None:
    """Adds a row to the table."""
    OPS[name] = Op(name, arguments, kind, meaning, derivative, infix, latex)


def _sigmoid(a: Any) -> Any:
    # Two forms, so that exp never overflows on either side.
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(a: Any) -> Any:
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))  # np.logaddexp warns of NaN


def _softmax(a: Any) -> Any:
    e = np.exp(a - np.max(a, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _float(compare: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: np.asarray(compare(a, b)).astype(np.result_type(a, b, np.float32))


# leaves: what a step is given
op("input", "", "leaf", None)  # x
op("state", "", "leaf", None)  # a state before the step; attribute: its index
op("parameter", "", "leaf", None)  # attribute: its index
op("constant", "", "leaf", None)  # attribute: the number
op("extent", "", "leaf", None)  # attribute: a size, as a number
op("elapsed", "", "leaf", None)  # dt, one number a row
op("mask", "", "leaf", None)  # 1 where the step counts, 0 where it is held
op("reset", "", "leaf", None)  # 1 where the state starts afresh
op("adjoint", "", "leaf", None)  # backward step: dL/d(value); attributes: ("state", index) or ("output",)
op("coin", "like", "leaf", None, None)  # attributes: rate, per, op number

# elementwise
op("add", "a b", "point", np.add, "g", "g", infix="+")
op("sub", "a b", "point", np.subtract, "g", "-g", infix="-")
op("mul", "a b", "point", np.multiply, "g * b", "g * a", infix="*")
op("div", "a b", "point", np.divide, "g / b", "-((g / b) * y)", infix="/")
op("mod", "a b", "point", np.mod, "g", "-(g * floor(a / b))", infix="%")
op("neg", "a", "point", np.negative, "-g")
op("sigmoid", "a", "point", _sigmoid, "g * (y * (1 - y))", latex=r"\sigma")
op("tanh", "a", "point", np.tanh, "g * (1 - y * y)", latex=r"\tanh")
op("relu", "a", "point", lambda a: np.maximum(a, 0), "g * (y > 0)", latex=r"\operatorname{relu}")
op("exp", "a", "point", np.exp, "g * y", latex=r"\exp")
op("log", "a", "point", np.log, "g / a", latex=r"\log")
op("sqrt", "a", "point", np.sqrt, "g * (0.5 / y)", latex=r"\sqrt{#}")
op("abs", "a", "point", np.abs, "where(a > 0, g, where(a < 0, -g, 0))", latex=r"\left|#\right|")
op("sin", "a", "point", np.sin, "g * cos(a)", latex=r"\sin")
op("cos", "a", "point", np.cos, "-(g * sin(a))", latex=r"\cos")
op("floor", "a", "point", np.floor, None, latex=r"\operatorname{floor}")
op("softplus", "a", "point", _softplus, "g * sigmoid(a)", latex=r"\operatorname{softplus}")
op("silu", "a", "point", lambda a: a * _sigmoid(a), "g * (sigmoid(a) * (1 + a * (1 - sigmoid(a))))",
   latex=r"\operatorname{silu}")
op("maximum", "a b", "point", np.maximum, "g * (a >= b)", "g * (a < b)", latex=r"\max")
op("minimum", "a b", "point", np.minimum, "g * (a <= b)", "g * (a > b)", latex=r"\min")
op("where", "a b c", "point", lambda a, b, c: np.where(a != 0, b, c), None, "where(a, g, 0)", "where(a, 0, g)",
   latex=r"\operatorname{where}")
op("lt", "a b", "point", _float(np.less), None, None, infix="<", latex="<")
op("le", "a b", "point", _float(np.less_equal), None, None, infix="<=", latex=r"\le")
op("gt", "a b", "point", _float(np.greater), None, None, infix=">", latex=">")
op("ge", "a b", "point", _float(np.greater_equal), None, None, infix=">=", latex=r"\ge")
op("eq", "a b", "point", _float(np.equal), None, None, infix="==", latex="=")
op("ne", "a b", "point", _float(np.not_equal), None, None, infix="!=", latex=r"\ne")

# whole rows
op("sum", "a", "row", lambda a: np.sum(a, axis=-1, keepdims=a.ndim > 1), "splat(g, a)", latex=r"\operatorname{sum}")
op("mean", "a", "row", lambda a: np.mean(a, axis=-1, keepdims=a.ndim > 1), "splat(g / extent(a), a)",
   latex=r"\operatorname{mean}")
op("softmax", "a", "row", _softmax, "y * (g - sum(g * y))", latex=r"\operatorname{softmax}")

# layout: attributes say where (derivatives need them, so compiler/backward.py holds these four)
op("concat", "*", "layout", None)  # parts side by side; a row scalar counts as one unit
op("slice", "a", "layout", None)  # attributes: start, size
op("pad", "a", "layout", None)  # attributes: before, after: zeros
op("splat", "a", "layout", None)  # a row scalar as a vector; attribute: size

# products and parameter matrices
op("product", "a b", "product", None, "outer(g, b)", "transpose(a) @ g", infix="@")  # matrix @ row vector
op("matmul", "a b", "matrix", np.matmul, "g @ transpose(b)", "transpose(a) @ g", infix="@")  # parameters alone
op("outer_parameters", "a b", "matrix", np.multiply.outer, "g @ b", "transpose(g) @ a")
op("transpose", "a", "matrix", np.transpose, "transpose(g)", latex=r"^\top")
op("rows", "a", "matrix", None)  # attributes: start, size
op("columns", "a", "matrix", None)
op("pad_rows", "a", "matrix", None)  # attributes: before, after
op("pad_columns", "a", "matrix", None)

# over all rows and steps: a gradient of something that does not depend on the row
op("outer", "a b", "reduce", None)  # sum of a b^T
op("batch_sum", "a", "reduce", None)  # sum of a
