"""A step of AdamW over NumPy buffers: against its equations in float64, and nothing written but what is said."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from recell.compiler.backends.cpu import adamw
from recell.compiler.backends.cpu.library import check, load
from recell.errors import RecellError

SIZES = (1, 7, 16, 8192, 8193, 20_005)
RATES = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6}


def tensors(numbers):
    """Values, gradients and states in the middle of a training, each tensor at another step and another rate."""
    made = []
    for place, size in enumerate(SIZES):
        value, gradient, mean, square = (numbers(size) for _ in range(4))
        step, decay = np.array(place * 3, np.float32), 0.1 * (place % 2)
        made.append(adamw.Moved(value, gradient, mean, np.abs(square), step, size, 0.01 * (place + 1), decay))
    return made


def expected(given, clip):
    """(value, mean, square) of each after a step."""
    gradients = [t.gradient.astype(np.float64) for t in given]
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    scale = min(1.0, clip / (norm + 1e-6)) if clip else 1.0
    for t, g in zip(given, gradients, strict=True):
        step = float(t.step) + 1
        mean = 0.8 * t.mean.astype(np.float64) + 0.2 * scale * g
        square = 0.95 * t.square.astype(np.float64) + 0.05 * (scale * g) ** 2
        move = mean / (1 - 0.8**step) / (np.sqrt(square / (1 - 0.95**step)) + 1e-6)
        yield t.value.astype(np.float64) * (1 - t.rate * t.decay) - t.rate * move, mean, square


@pytest.mark.parametrize("threads", (1, 3))
@pytest.mark.parametrize("clip", (0.0, 5.0, 1e6))
def test_against_the_equations(numbers, clip, threads, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", str(threads))
    given = tensors(numbers)
    right, gradients = list(expected(given, clip)), [t.gradient.copy() for t in given]
    adamw.adamw(given, **RATES, clip=clip)
    reach = 20 * np.finfo(numbers.dtype).eps
    for place, (t, found, gradient) in enumerate(zip(given, right, gradients, strict=True)):
        for actual, wanted in zip((t.value, t.mean, t.square), found, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=reach, atol=reach)
        assert t.step == place * 3 + 1 and np.array_equal(t.gradient, gradient)


def test_the_bits_do_not_depend_on_the_threads(own_pool, numbers, assert_same, monkeypatch):
    start, results = tensors(numbers), []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("RECELL_NUM_THREADS", threads)
        own = [t._replace(**{name: getattr(t, name).copy() for name in ("value", "mean", "square", "step")}) for t in start]
        adamw.adamw(own, **RATES, clip=2.0)
        results.append(own)
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert_same(a.value, b.value)


def test_nothing_else_is_written(numbers):
    given, around = tensors(numbers), []
    for t in given:
        whole = {name: numbers.empty(32 + t.elements + 32) for name in ("value", "mean", "square")}
        for name, array in whole.items():
            array[32:-32] = getattr(t, name)
        around.append(whole)
    adamw.adamw([t._replace(**{name: a[32:-32] for name, a in w.items()}) for t, w in zip(given, around, strict=True)], **RATES)
    assert all(
        np.isnan(array[part]).all() for whole in around for array in whole.values() for part in (slice(32), slice(-32, None))
    )
    assert not any(np.isnan(array[32:-32]).any() for whole in around for array in whole.values())


def test_a_gradient_that_is_no_number_reaches_all_that_is_clipped(numbers):
    given = tensors(numbers)
    given[0].gradient[0] = np.nan
    adamw.adamw(given, **RATES, clip=1.0)
    assert all(np.isnan(t.value).all() for t in given)


def test_refused(numbers):
    adamw.adamw([], **RATES)
    rates, one = adamw.AdamWRates(0.9, 0.99, 1e-8, 0), adamw.AdamWTensor(count=3)
    run = load().rc_adamw
    for line, arguments in {
        "dtype 2": (2, 1, 0, None, ctypes.byref(rates)),
        "a list that is NULL": (0, 1, 1, None, ctypes.byref(rates)),
        "tensor 0 has 3 elements, or a part that is NULL": (0, 1, 1, ctypes.byref(one), ctypes.byref(rates)),
        "rates are NULL": (0, 1, 0, None, None),
    }.items():
        with pytest.raises(RecellError, match=line):
            check(run(*arguments))
