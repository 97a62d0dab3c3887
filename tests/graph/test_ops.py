"""THE op table: each row is whole, and its NumPy meaning and its derivative agree."""

from __future__ import annotations

import numpy as np
import pytest

from recell.graph.ops import OPS

KINDS = {"leaf", "point", "row", "layout", "product", "matrix", "reduce"}
POSITIVE = {"log", "sqrt", "div"}
NAMES = {name: row.numpy for name, row in OPS.items() if row.numpy is not None}


@pytest.mark.parametrize("name", OPS)
def test_a_row_is_whole(name: str) -> None:
    row = OPS[name]
    assert row.name == name and row.kind in KINDS
    if row.kind in ("point", "row"):
        assert row.numpy is not None and len(row.derivative) == row.arity
    if row.infix:
        assert row.arity == 2


@pytest.mark.parametrize("name", [n for n, row in OPS.items() if row.kind in ("point", "row")])
def test_the_derivative_is_that_of_the_meaning(name: str) -> None:
    """In float64, along a random direction, away from ties and jumps."""
    row = OPS[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    values = [rng.uniform(0.3, 2, (5, 7)) if name in POSITIVE else rng.uniform(-2, 2, (5, 7)) for _ in range(row.arity)]
    if name == "mod":
        values[1] = rng.uniform(3, 4, (5, 7))
    way = [rng.uniform(-1, 1, (5, 7)) for _ in values]
    assert row.numpy is not None
    y = row.numpy(*values)
    g = rng.uniform(-1, 1, np.shape(y))
    slope = (
        sum(((row.numpy(*(v + s * 1e-6 * w for v, w in zip(values, way, strict=True))) * g).sum()) * s for s in (1, -1)) / 2e-6
    )
    table = {
        **NAMES,
        "splat": lambda a, like: a + 0 * like,
        "extent": lambda a: a.shape[-1],
        **dict(zip("abc", values, strict=False)),
        "y": y,
        "g": g,
    }
    table["sum"] = lambda a: np.sum(a, -1, keepdims=True)
    shares = [0.0 if text is None else eval(text, {"__builtins__": {}}, table) for text in row.derivative]  # noqa: S307
    parts = [np.sum(share * w) for share, w in zip(shares, way, strict=True)]
    assert np.isclose(slope, np.sum(parts), rtol=1e-6, atol=1e-7), (slope, parts)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "silu", "softmax"])
def test_far_values_do_not_overflow(name: str) -> None:
    a = np.array([[-1000.0, -745.0, -50.0, 0.0, 50.0, 710.0, 1000.0]])
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(OPS[name].numpy(a)).all()  # pyright: ignore[reportOptionalCall]


def test_comparisons_give_zeros_and_ones_of_the_operands_dtype() -> None:
    a = np.array([1, 2, np.nan], np.float32)
    for name, expected in {
        "lt": [0, 0, 0],
        "le": [1, 1, 0],
        "eq": [1, 1, 0],
        "ne": [0, 0, 1],
        "gt": [0, 0, 0],
        "ge": [1, 1, 0],
    }.items():
        found = OPS[name].numpy(a, a)  # pyright: ignore[reportOptionalCall]
        assert found.dtype == np.float32 and found.tolist() == expected


def test_mod_has_the_sign_of_the_divisor() -> None:
    assert OPS["mod"].numpy(-1.0, 3.0) == 2.0 and OPS["mod"].numpy(1.0, -3.0) == -2.0  # pyright: ignore[reportOptionalCall]
