"""Output layer, softmax and cross-entropy over NumPy buffers: against float64, and nothing written but what is said."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from recell.compiler.backends.cpu import arrays, loss
from recell.compiler.backends.cpu.library import check, load
from recell.errors import RecellError

# rows, inputs, classes: token by token where the weights are few, by ranges of classes where they are many or the rows few
SIZES = ((1, 1, 2), (5, 3, 7), (40, 33, 49), (130, 65, 100), (250, 7, 3), (70, 130, 1411), (15, 70, 611))


def layer_of(numbers, rows, inputs, classes, **options):
    targets = numbers.random.integers(0, classes, rows)
    return loss.Layer(numbers(rows, inputs), numbers(classes, inputs, scale=0.5), targets, numbers(classes), **options)


def expected(layer, scale):
    """Losses, dx, dweight, dbias in float64."""
    x, w, b = (a.astype(np.float64) for a in (layer.x, layer.weight, layer.bias))
    logits = x @ w.T + b
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    weights = np.ones(len(w)) if layer.class_weights is None else layer.class_weights.astype(np.float64)
    q = ((1 - layer.smoothing) * (layer.targets[:, None] == np.arange(len(w))) + layer.smoothing / len(w)) * weights
    q[layer.targets == layer.ignored] = 0
    d = scale[:, None] * (np.exp(log_p) * q.sum(1, keepdims=True) - q)
    return -(q * log_p).sum(1), d @ w, d.T @ x, d.sum(0)


@pytest.mark.parametrize("chunk", (0, 1, 30))
@pytest.mark.parametrize("threads", (1, 2, 3))
@pytest.mark.parametrize("sizes", SIZES)
def test_against_float64(numbers, assert_close, sizes, threads, chunk, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", str(threads))
    rows, _, classes = sizes
    for weights, smoothing, ignored in ((None, 0.0, -100), (np.abs(numbers(classes)), 0.3, 1), (None, 1.0, 0)):
        layer = layer_of(numbers, *sizes, class_weights=weights, smoothing=smoothing, ignored=ignored, chunk=chunk)
        scale = numbers(rows)
        found = loss.linear_cross_entropy(layer, scale=scale, wanted=(True, True, True))
        for one, right in zip((found.losses, *found.gradients()), expected(layer, scale.astype(np.float64)), strict=True):
            assert_close(one, right, 50)
        assert_close(loss.linear_cross_entropy(layer).losses, found.losses, 10)


@pytest.mark.parametrize("ignored", (-100, 3))
def test_nothing_else_is_written(numbers, assert_close, ignored):
    """Outputs full of NaN are written whole, and the memory around them is not touched."""
    rows, inputs, classes = 37, 21, 50
    layer = layer_of(numbers, rows, inputs, classes, ignored=ignored)
    layer.targets[5:9] = ignored if ignored >= 0 else 1
    around = [numbers.empty(64 + size + 64) for size in (rows, rows * inputs, classes * inputs, classes)]
    losses, dx, dweight, dbias = (arrays.address(a[64:]) for a in around)
    call = loss.LossArguments(
        dtype=int(numbers.dtype == np.float64), threads=2, rows=rows, inputs=inputs, classes=classes, x=arrays.address(layer.x),
        weight=arrays.address(layer.weight), bias=arrays.address(layer.bias), targets=arrays.address(layer.targets),
        ignored=ignored, losses=losses, dx=dx, dweight=dweight, dbias=dbias, chunk=16)  # fmt: skip
    check(load().rc_linear_cross_entropy(ctypes.byref(call)))
    for array, right in zip(around, expected(layer, np.ones(rows)), strict=True):
        assert np.isnan(array[:64]).all() and np.isnan(array[-64:]).all()
        assert_close(array[64:-64], right.ravel(), 50)


def test_the_own_pool_gives_the_same_bits(own_pool, numbers, assert_same, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", "3")
    layer = layer_of(numbers, 150, 40, 300)
    first, again = (loss.linear_cross_entropy(layer, wanted=(True, True, True)) for _ in range(2))
    for one, two in zip((first.losses, *first.gradients()), (again.losses, *again.gradients()), strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("ignored", (-100, 4))
def test_no_row_counts(numbers, assert_same, ignored):
    layer = layer_of(numbers, 0 if ignored < 0 else 6, 5, 9, ignored=ignored)
    layer.targets[:] = 4
    found = loss.linear_cross_entropy(layer, wanted=(True, True, True))
    for array in (found.losses, *found.gradients()):
        assert_same(array, np.zeros_like(array))


def test_refused(numbers):
    layer = layer_of(numbers, 4, 5, 9)
    layer.targets[2] = 9
    with pytest.raises(RecellError, match=r"targets\[2\] is 9, and there are 9 classes"):
        loss.linear_cross_entropy(layer)
    layer.targets[2] = -1
    with pytest.raises(RecellError, match=r"targets\[2\] is -1"):
        loss.linear_cross_entropy(layer)
    wrong = {"dtype 2": {"dtype": 2}, "classes 0": {"classes": 0}, "is NULL": {"classes": 3, "rows": 2},
             "smoothing 2": {"classes": 3, "smoothing": 2.0}, "chunk -1": {"classes": 3, "chunk": -1}}  # fmt: skip
    for line, fields in wrong.items():
        with pytest.raises(RecellError, match=line):
            check(load().rc_linear_cross_entropy(ctypes.byref(loss.LossArguments(**fields))))
    with pytest.raises(RecellError, match="call is NULL"):
        check(load().rc_linear_cross_entropy(None))
