"""The CTC loss over NumPy buffers: against by_hand, and nothing written but what is said."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from recell import by_hand
from recell.compiler.backends.cpu import arrays, ctc
from recell.compiler.backends.cpu.library import check, load
from recell.errors import RecellError

STEPS, CLASSES, BLANK = 37, 21, 2
INPUTS = (37, 9, 20, 0, 37, 1, 36, 5)
LABELS = (7, 0, 17, 0, 8, 1, 16, 2)  # 8 and 16 fill whole vectors of places but for the last blank, 7 fills one


def sequences(numbers):
    log_y = np.ascontiguousarray(
        by_hand.log_softmax(numbers(STEPS, len(INPUTS), CLASSES).astype(np.float64)).astype(numbers.dtype)
    )
    targets = np.array([k for length in LABELS for k in repeated(numbers, length)], np.int64)
    lengths = np.array(LABELS, np.int64)
    return ctc.Sequences(log_y, targets, lengths.cumsum() - lengths, lengths, np.array(INPUTS, np.int64), BLANK)


def repeated(numbers, length):
    """Labels of which some follow themselves."""
    drawn = list(numbers.random.integers(3, CLASSES, length))
    return [drawn[i // 3 * 3] if i % 7 == 1 else k for i, k in enumerate(drawn)]


def expected(given):
    losses, gradient = np.zeros(len(INPUTS)), np.zeros(given.log_y.shape)
    for n, steps in enumerate(INPUTS):
        own = given.targets[given.target_offsets[n] :][: given.target_lengths[n]]
        if steps:
            logits = given.log_y[:steps, n].astype(np.float64)
            losses[n] = by_hand.ctc_loss(logits, own, blank=BLANK)
            if np.isfinite(losses[n]):
                gradient[:steps, n] = by_hand.ctc_gradient(logits, own, blank=BLANK)
            else:
                gradient[:steps, n] = np.nan
    return losses, gradient


@pytest.mark.parametrize("threads", (1, 3))
def test_against_by_hand(numbers, assert_close, assert_same, threads, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", str(threads))
    given = sequences(numbers)
    losses, gradient = ctc.ctc_loss(given, gradient=True)
    for found, right in zip((losses, gradient), expected(given), strict=True):
        assert_close(found, right, 10)
    assert_same(ctc.ctc_loss(given)[0], losses)
    given.target_lengths[1:] += given.target_lengths[1:] == 0  # more labels than steps: sequence 3 has none
    assert np.isinf(ctc.ctc_loss(given)[0][3])
    finite, zeroed = ctc.ctc_loss(replace(given, finite=True), gradient=True)
    assert finite[3] == 0 and np.isfinite(finite).all() and np.isfinite(zeroed).all()


def test_the_bits_do_not_depend_on_the_threads(own_pool, numbers, assert_same, monkeypatch):
    given, results = sequences(numbers), []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("RECELL_NUM_THREADS", threads)
        results.append(ctc.ctc_loss(given, gradient=True))
    for losses, gradient in results[1:]:
        assert_same(losses, results[0][0])
        assert_same(gradient, results[0][1])


def test_nothing_else_is_written(numbers, assert_close):
    given = sequences(numbers)
    around = [numbers.empty(64 + size + 64) for size in (len(INPUTS), given.log_y.size)]
    losses, gradient = (arrays.address(a[64:]) for a in around)
    names = ("log_y", "targets", "target_offsets", "target_lengths", "input_lengths")
    call = ctc.CtcArguments(
        dtype=int(numbers.dtype == np.float64), threads=2, steps=STEPS, rows=len(INPUTS), classes=CLASSES, blank=BLANK,
        losses=losses, gradient=gradient, **{name: arrays.address(getattr(given, name)) for name in names})  # fmt: skip
    check(load().rc_ctc_loss(ctypes.byref(call)))
    for array, right in zip(around, expected(given), strict=True):
        assert np.isnan(array[:64]).all() and np.isnan(array[-64:]).all()
        assert_close(array[64:-64], right.ravel(), 10)


def test_refused(numbers):
    given = sequences(numbers)
    for name, place, value, line in (
        ("targets", 3, CLASSES, r"label 3 of sequence 0 is 21; labels go from 0 to 20 without the blank, 2"),
        ("targets", 7, BLANK, r"label 0 of sequence 2 is 2"),
        ("input_lengths", 1, STEPS + 1, r"input_lengths\[1\] is 38, and there are 37 steps"),
        ("target_lengths", 2, -1, r"target_lengths\[2\] is -1"),
    ):
        before, getattr(given, name)[place] = getattr(given, name)[place], value
        with pytest.raises(RecellError, match=line):
            ctc.ctc_loss(given)
        getattr(given, name)[place] = before
    wrong = {"dtype 2": {"dtype": 2}, "classes 0": {"classes": 0}, "blank is 3": {"classes": 3, "blank": 3},
             "is NULL": {"classes": 3, "rows": 2}}  # fmt: skip
    for line, fields in wrong.items():
        with pytest.raises(RecellError, match=line):
            check(load().rc_ctc_loss(ctypes.byref(ctc.CtcArguments(**fields))))
    with pytest.raises(RecellError, match="call is NULL"):
        check(load().rc_ctc_loss(None))
