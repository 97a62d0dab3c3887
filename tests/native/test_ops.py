"""Every pointwise op in float and double against NumPy, at widths that leave a tail, with NaN and infinities."""

from __future__ import annotations

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


UNARY = {
    "copy": lambda a: a,
    "neg": lambda a: -a,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "exp": np.exp,
    "log": lambda a: np.log(np.abs(a)),
    "sqrt": lambda a: np.sqrt(np.abs(a)),
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "softplus": lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "reciprocal": lambda a: 1 / a,
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mod": np.mod,
    "mul_sigmoid_slope": lambda a, b: a * b * (1 - b),
    "mul_tanh_slope": lambda a, b: a * (1 - b * b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
TERNARY = {
    "mul_add": lambda a, b, c: a * b + c,
    "mul_sub": lambda a, b, c: a * b - c,
    "mul_rsub": lambda a, b, c: c - a * b,
    "mul_mul": lambda a, b, c: a * b * c,
    "mul_mul_sigmoid_slope": lambda a, b, c: a * b * ((1 - c) * c),
    "mul_mul_tanh_slope": lambda a, b, c: a * b * (1 - c * c),
    "add_add": lambda a, b, c: (a + b) + c,
    "add_sub": lambda a, b, c: (a + b) - c,
    "add_rsub": lambda a, b, c: c - (a + b),
    "add_mul": lambda a, b, c: (a + b) * c,
    "sub_add": lambda a, b, c: (a - b) + c,
    "sub_sub": lambda a, b, c: (a - b) - c,
    "sub_rsub": lambda a, b, c: c - (a - b),
    "sub_mul": lambda a, b, c: (a - b) * c,
    "where": lambda a, b, c: np.where(a != 0, b, c),
}
ROWS = {
    "sum": lambda a: a.sum(-1, keepdims=True),
    "mean": lambda a: a.mean(-1, keepdims=True),
    "max": lambda a: a.max(-1, keepdims=True),
    "softmax": softmax,
}
POSITIVE = {"log", "sqrt"}
WIDTHS = (1, 3, 16, 37, 64, 131)


def expected_of(function, *arrays):
    with np.errstate(all="ignore"):
        return np.asarray(function(*(a.astype(np.float64) for a in arrays)))


def run_op(hand, numbers, op, arrays, by_rows=0, width=None):
    rows, wide = arrays[0].shape
    out = numbers.empty(rows, wide if width is None else width)
    hand.everywhere()
    hand.stage(by_rows)
    hand.point(op, hand.memory(out, library.STEP), *(hand.memory(a, library.STEP) for a in arrays))
    hand.run(1, rows)
    return out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", UNARY)
def test_unary(hand, numbers, assert_close, op, width):
    a = numbers(7, width, scale=3)
    a = np.abs(a) if op in POSITIVE else a
    out = run_op(hand, numbers, op, [a])
    np.testing.assert_allclose(out, expected_of(UNARY[op], a), rtol=2e-6 if out.itemsize == 4 else 1e-14, atol=1e-30)


@pytest.mark.parametrize("op", ("sigmoid", "tanh", "exp", "log", "relu", "softplus", "abs", "floor", "sqrt", "copy"))
def test_extremes(hand, numbers, op):
    large = [
        0.0,
        1e-30,
        -1e-30,
        1e-4,
        30,
        -30,
        88,
        -88,
        100,
        -100,
        700,
        -700,
        800,
        -800,
        88.5,
        -88.5,  # here exp(88.5) has no factor 2^n of its own in float32
        709.6,
        -709.6,
        np.inf,
        -np.inf,
        np.nan,
    ]
    a = np.array([large], hand.dtype)
    a = np.abs(a) if op in POSITIVE else a
    out = run_op(hand, numbers, op, [a])
    with np.errstate(all="ignore"):
        expected = expected_of(UNARY[op], a).astype(hand.dtype)
    tiny = 1e-36 if out.itemsize == 4 else 1e-300  # denormals may be flushed
    np.testing.assert_allclose(out, expected, rtol=4e-6 if out.itemsize == 4 else 1e-13, atol=tiny)


@pytest.mark.parametrize("op", ("tanh", "sigmoid", "exp", "log", "softplus"))
def test_relative_accuracy(hand, numbers, op):
    a = np.concatenate([np.linspace(-40, 40, 20012), np.geomspace(1e-12, 1, 999)])[None].astype(hand.dtype)
    a = np.abs(a) if op in POSITIVE else a
    out = run_op(hand, numbers, op, [a])
    expected = expected_of(UNARY[op], a)
    np.testing.assert_allclose(out, expected, rtol=4e-7 if out.itemsize == 4 else 2e-15, atol=0)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", BINARY)
def test_binary(hand, numbers, op, width):
    a, b = numbers(5, width), numbers(5, width)
    b[0] = a[0]  # ties
    out = run_op(hand, numbers, op, [a, b])
    np.testing.assert_allclose(out, expected_of(BINARY[op], a, b), rtol=1e-6 if out.itemsize == 4 else 1e-14, atol=1e-6)


@pytest.mark.parametrize("op", ("maximum", "minimum", "add", "mul", "mod"))
def test_binary_nan(hand, numbers, op):
    a = np.array([[1, np.nan, 2, np.nan, -3]], hand.dtype)
    b = np.array([[np.nan, 1, 3, np.nan, -4]], hand.dtype)
    np.testing.assert_array_equal(run_op(hand, numbers, op, [a, b]), BINARY[op](a, b))


DIVISORS = np.array([0.1, -0.3, 7, 1, 3, -1e-3, 1e30, -1e-30, 128])


@pytest.mark.parametrize("width", (1, 7, 200))
@pytest.mark.parametrize("scale", (1, 1e25, 1e-25))
def test_mod_is_exact(hand, numbers, scale, width):
    """Bit for bit, quotients that round to a whole number and huge ones too."""
    b = np.repeat(DIVISORS, width).reshape(-1, width).astype(hand.dtype)
    wholes = np.random.default_rng(1).integers(-(2**20), 2**20, b.shape).astype(hand.dtype)
    for a in (wholes, wholes * b, np.nextafter(wholes * b, 0), wholes * b / 3):
        with np.errstate(over="ignore"):
            a = (a * scale).astype(hand.dtype)
        a[~np.isfinite(a)] = 1
        np.testing.assert_array_equal(run_op(hand, numbers, "mod", [a, b]), np.mod(a, b))
        hand = type(hand)(hand.dtype)


def test_mod_of_what_is_not_finite(hand, numbers):
    a = np.array([[1, -1, 0, np.inf, -np.inf, 5, -5, 0]], hand.dtype)
    b = np.array([[np.inf, np.inf, -np.inf, 3, np.inf, 0, 0, 0]], hand.dtype)
    with np.errstate(invalid="ignore"):
        expected = np.mod(a, b)
    np.testing.assert_array_equal(run_op(hand, numbers, "mod", [a, b]), expected)


@pytest.mark.parametrize("op", TERNARY)
def test_ternary(hand, numbers, assert_close, op):
    a, b, c = numbers(9, 37), numbers(9, 37), numbers(9, 37)
    a[:, ::3] = 0
    assert_close(run_op(hand, numbers, op, [a, b, c]), expected_of(TERNARY[op], a, b, c))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("op", ROWS)
def test_rows(hand, numbers, assert_close, op, width):
    a = numbers(7, width, scale=4)
    out = run_op(hand, numbers, op, [a], by_rows=1, width=width if op == "softmax" else 1)
    assert_close(out, expected_of(ROWS[op], a))


@pytest.mark.parametrize("op", ROWS)
def test_rows_nan(hand, numbers, op):
    a = numbers(3, 21)
    a[1, 4] = np.nan
    out = run_op(hand, numbers, op, [a], by_rows=1, width=21 if op == "softmax" else 1)
    np.testing.assert_array_equal(np.isnan(out).any(1), [False, True, False])


def test_broadcasts(hand, numbers, assert_close):
    """Vectors and constants broadcast over rows; splat over units; columns are addressed; registers hold between points."""
    x, out, scalar, vector = numbers(11, 70), numbers.empty(11, 70), numbers(11, 1), numbers(70)
    wide = numbers(11, 90)
    hand.everywhere()
    hand.stage(0)
    r, s = hand.register(70), hand.register(1)
    hand.point("mul", r, hand.memory(x, library.STEP), hand.memory(vector, library.VECTOR))
    hand.point("add", s, hand.memory(scalar, library.STEP), hand.constant(0.5))
    other = hand.register(70)
    hand.point("splat", other, s)
    hand.point("mul_add", r, r, other, hand.constant(2.0))
    hand.point("add", hand.memory(out, library.STEP), r, hand.memory(wide, library.STEP, 13, 70))
    hand.run(1, 11)
    assert_close(out, (x * vector) * (scalar + 0.5) + 2 + wide[:, 13:83])


def test_views(hand, numbers, assert_close):
    """In by_rows stages parts of registers are operands: concat and split."""
    a, b, out = numbers(9, 5), numbers(9, 19), numbers.empty(9, 11)
    hand.everywhere()
    hand.stage(1)
    whole = hand.register(24)
    hand.point("copy", hand.view(whole, 0, 5), hand.memory(a, library.STEP))
    hand.point("copy", hand.view(whole, 5, 19), hand.memory(b, library.STEP))
    hand.point("mul", hand.memory(out, library.STEP), hand.view(whole, 2, 11), hand.view(whole, 13, 11))
    hand.run(1, 9)
    joined = np.concatenate([a, b], 1)
    assert_close(out, joined[:, 2:13] * joined[:, 13:])


def test_in_place(hand, numbers, assert_close):
    a = numbers(13, 45)
    before = a.copy()
    hand.everywhere()
    hand.stage(0)
    operand = hand.memory(a, library.STEP)
    hand.point("mul", operand, operand, operand)
    hand.run(1, 13)
    assert_close(a, before * before)


def test_many_registers(hand, numbers, assert_close):
    """Slots are given again after a register's last use; no value is overwritten while it lives."""
    a, out = numbers(21, 37), numbers.empty(21, 37)
    hand.everywhere()
    hand.stage(0)
    source = hand.memory(a, library.STEP)
    values = []
    for i in range(12):
        r = hand.register(37)
        hand.point("mul", r, source, hand.constant(i + 1.0))
        values.append(r)
    total = values[0]
    for i, r in enumerate(values[1:]):
        fresh = hand.register(37)
        hand.point("add" if i % 2 else "sub", fresh, total, r)
        total = fresh
    hand.point("copy", hand.memory(out, library.STEP), total)
    hand.run(1, 21)
    factor = 1.0
    for i in range(11):
        factor = factor + (i + 2) if i % 2 else factor - (i + 2)
    assert_close(out, a * factor, 4)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda h, r: h.point("add", r, r), "operand b"),
        (lambda h, r: h.point("sum", r, r), "by_rows"),
        (lambda h, r: h.point("add", r, r, h.register(3)), "width 3"),
        (lambda h, r: h.point("copy", h.constant(1.0), r), "read only"),
        (lambda h, r: h.point("accumulate", r, r), "accumulator"),
        (lambda h, r: h.point("nonsense", r, r), "nonsense"),
    ],
)
def test_refusals(hand, build, words):
    hand.everywhere()
    hand.stage(0)
    with pytest.raises(RecellError, match=words):
        build(hand, hand.register(5))


def test_register_read_before_written(hand, numbers):
    out = numbers(2, 5)
    hand.everywhere()
    hand.stage(0)
    hand.point("copy", hand.memory(out, library.STEP), hand.register(5))
    with pytest.raises(RecellError, match="before it is written"):
        hand.run(1, 2)
