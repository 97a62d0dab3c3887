"""Every op of the table, alone in a cell: its value on every backend, its derivative against central differences."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import recell
from recell import cell, relu, tanh
from recell.graph.ops import OPS as TABLE
from recell.language.cell import Cell
from tests.contract.descriptions import OPS, TRIED_ALONE
from tests.contract.harness import Case, agree, by_reference, equals_central_differences, everything, make

INFIX = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "mod": lambda a, b: a % b, "neg": lambda a: -a, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
}  # fmt: skip


PREPARED = {
    "any": lambda value, _: value,
    "positive": lambda value, _: value * value + 0.4,
    "apart": lambda value, k: tanh(value) + 3 * k,
    "ties": lambda value, _: relu(value),  # equal zeros at many places
}


@cache
def cell_of(name: str) -> Cell:
    function = INFIX.get(name) or getattr(recell, name)
    how, arity = OPS[name], TABLE[name].arity

    @cell
    def Alone(p, x, h):
        arguments = [PREPARED[how](p[f"W_{k}"] @ x + p[f"U_{k}"] @ h + p[f"b_{k}"], k) for k in range(arity)]
        return tanh(function(*arguments) + 0.5 * h + 0.1 * (p.V @ x))

    return Alone


@cache
def case_of(name: str) -> Case:
    return make(cell_of(name), {"input": 3, "hidden": 19}, steps=4, rows=5, seed=11)


@pytest.mark.parametrize("op", TRIED_ALONE)
def test_backends_agree(op: str, other: str, dtype: str) -> None:
    agree(everything(case_of(op), other, dtype), by_reference(case_of(op)), dtype)


@pytest.mark.parametrize("op", TRIED_ALONE)
def test_the_derivative_is_that_of_the_value(op: str) -> None:
    equals_central_differences(case_of(op), "reference", directions=3)


@cell
def Products(p, x, h):
    """Parameters among themselves: a product of matrices, of a matrix and a vector, transposes, outer gradients."""
    square = p.matrix("A", cols="hidden") @ p.B.T
    bias = p.C @ p.vector("d")
    return tanh((square @ x) * p.scalar("k") + (p.B.T @ p.A) @ h + bias + relu(p.d) * p.b)


def test_products_of_parameters(backend: str) -> None:
    case = make(Products, Products.resolve(7, 7), steps=4, rows=3)
    equals_central_differences(case, backend, directions=2)
    agree(everything(case, backend), by_reference(case))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_at_a_tie_the_first_argument_takes_the_gradient(name: str, backend: str) -> None:
    function = getattr(recell, name)

    @cell
    def Tie(p, x, h):
        return function(p.a * x, p.b * x) + 0.5 * h

    case = make(Tie, Tie.resolve(4, 4), steps=3, rows=2)
    case = Case(**{**vars(case), "parameters": (case.parameters[0], case.parameters[0].copy())})
    found = everything(case, backend)
    assert found["d a"].any() and not found["d b"].any()
    assert np.array_equal(found["dx"] != 0, np.ones_like(found["dx"], bool))


def test_softplus_and_sigmoid_at_the_ends(backend: str, dtype: str) -> None:
    """No overflow, no NaN, far from zero."""

    @cell
    def Far(p, x, h):
        return recell.softplus(p.a * x) + recell.sigmoid(p.b * x) + recell.silu(p.c * x) + tanh(p.d * x) + 0.5 * h

    case = make(Far, Far.resolve(4, 4), steps=3, rows=2)
    far = np.where(case.x > 0, 90.0, -90.0)
    case = Case(**{**vars(case), "x": far, "parameters": tuple(np.ones_like(p) for p in case.parameters)})
    found = everything(case, backend, dtype)
    assert all(np.isfinite(value).all() for value in found.values())
    agree(found, by_reference(case), dtype)
