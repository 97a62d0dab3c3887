"""The ops as functions: on values they record, on numbers they compute, on anything else they say what to write."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recell
from recell import CellError, cell, coin, concat, dropout, normalize, split, tanh, where

NUMBERS = {
    "sigmoid": 1 / (1 + math.exp(-0.3)), "tanh": math.tanh(0.3), "relu": 0.3, "exp": math.exp(0.3), "log": math.log(0.3),
    "sqrt": math.sqrt(0.3), "abs": 0.3, "sin": math.sin(0.3), "cos": math.cos(0.3), "floor": 0.0,
    "softplus": math.log1p(math.exp(0.3)), "silu": 0.3 / (1 + math.exp(-0.3)),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_on_numbers_they_compute(name: str) -> None:
    assert getattr(recell, name)(0.3) == pytest.approx(NUMBERS[name], rel=1e-15)
    assert recell.maximum(2, 3) == 3.0 and recell.minimum(2, 3) == 2.0 and where(0, 1, 2) == 2.0


@pytest.mark.parametrize("name", [*NUMBERS, "softmax", "sum", "mean"])
def test_arguments_are_counted_and_their_kind_is_named(name: str) -> None:
    function = getattr(recell, name)
    with pytest.raises(CellError, match=r"takes 1 argument\(s\); came 2; write"):
        function(1.0, 2.0)
    for other in ("text", None, np.ones(3), [1.0]):
        with pytest.raises(CellError, match=f"takes values of the step or numbers; came {type(other).__name__}; write"):
            function(other)


def refused(function, words: str) -> None:
    with pytest.raises(CellError, match=words):

        @cell
        def Wrong(p, x, h, dt):
            return tanh(p.W @ x * dt) + function(p, x, h, dt)


def test_row_operations_ask_for_vectors() -> None:
    for name in ("sum", "mean", "softmax"):
        refused(lambda p, x, h, dt, name=name: h * getattr(recell, name)(dt), f"{name} reads a vector; came a single number")
        refused(lambda p, x, h, dt, name=name: h * getattr(recell, name)(p.matrix("M")), f"{name} reads a vector; came a matrix")


def test_concat_and_split() -> None:
    refused(lambda p, x, h, dt: h * concat(x), "concat takes two values or more; came 1; write concat")
    refused(lambda p, x, h, dt: p.V @ concat(h, p.matrix("M")), "concat takes vectors; came a matrix")
    refused(lambda p, x, h, dt: h * split(h, 0)[0], "split takes a value and a number of parts; came .*, 0; write split")
    refused(lambda p, x, h, dt: h * split(dt, 2)[0], "split takes a vector; came dt")
    refused(lambda p, x, h, dt: h * split(3.0, 2)[0], r"split takes a value and a number of parts; came 3.0, 2")


def test_a_number_counts_as_one_unit_in_a_concat() -> None:
    @cell
    def Joined(p, x, h, dt):
        return tanh(p.W @ concat(x, dt, h))

    assert Joined.parameters(Joined.resolve(3, 5))[0].shape == (5, 9)


def test_coins_say_what_they_take() -> None:
    refused(lambda p, x, h, dt: h * coin(like=h, rate=1.5), "the rate of a coin must be a number from 0 to 1; came 1.5; write")
    refused(lambda p, x, h, dt: h * coin(like=h, rate=dt), "the rate of a coin must be a number")
    refused(lambda p, x, h, dt: h * coin(like=h, rate=0.5, per="row"), "per must be 'sequence' or 'step'; came 'row'")
    refused(lambda p, x, h, dt: h * coin(like=3, rate=0.5), "coin takes a value for its shape; came 3")
    refused(lambda p, x, h, dt: dropout(h, 1.0), "the rate of dropout must be a number from 0 to below 1; came 1.0")


def test_coins_are_numbered_as_they_are_met() -> None:
    @cell
    def Two(p, x, h):
        return tanh(p.W @ x) * coin(like=h, rate=0.5) + h * coin(like=h, rate=0.5)

    assert [n.attributes for n in Two.graph.nodes if n.op == "coin"] == [(0.5, "step", 0), (0.5, "step", 1)]


def test_normalize_is_mean_and_deviation() -> None:
    from tests.contract.harness import agree, make, trace

    @cell
    def Normal(p, x, h):
        a = p.W @ x + h
        n = normalize(a)
        m = normalize(a, 0.1)
        return n * m

    found = trace(make(Normal, Normal.resolve(3, 9)), "reference")
    a = found["a"]
    centred = a - a.mean(2, keepdims=True)
    variance = (centred**2).mean(2, keepdims=True)
    agree({"n": found["n"], "m": found["m"]}, {"n": centred / np.sqrt(variance + 1e-5), "m": centred / np.sqrt(variance + 0.1)})


def test_ops_as_constants() -> None:
    @cell
    def Activated(p, x, h, *, activation=recell.relu):
        return activation(p.W @ x + p.U @ h)

    other = Activated(activation=recell.sin)
    assert {n.op for n in other.graph.nodes} >= {"sin"} and other != Activated


@pytest.mark.parametrize("op", [recell.mean, recell.softmax, recell.sum])
def test_a_row_operation_of_a_plain_number_is_refused(op) -> None:
    with pytest.raises(CellError, match=r"reads a vector; came the number 2.0"):
        op(2.0)
