from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recell.data.batching import IGNORED, Streams, evaluation_windows
from recell.data.vocabulary import PADDING, START
from recell.errors import DataError


def text(length: int) -> np.ndarray:
    return np.arange(4, 4 + length)


def epoch_of(streams: Streams) -> list:
    return [streams.next() for _ in range(streams.windows_per_epoch)]


@given(st.integers(1, 5), st.integers(1, 7), st.integers(0, 60))
def test_an_epoch_reads_every_stream_once_in_order(batch_size: int, window: int, extra: int) -> None:
    numbers = text(batch_size * window + extra)
    streams = Streams(numbers, batch_size=batch_size, window=window)
    seen = []
    for _ in range(3):
        windows = epoch_of(streams)
        assert [w.first for w in windows] == [True] + [False] * (len(windows) - 1)
        inputs = np.concatenate([w.inputs for w in windows])
        targets = np.concatenate([w.targets for w in windows])  # (steps, streams)
        assert (inputs[0] == START).all()
        np.testing.assert_array_equal(inputs[1:], targets[:-1])
        flat = targets.T.reshape(-1)
        np.testing.assert_array_equal(np.diff(flat), 1)
        assert len(flat) == len(numbers) // batch_size * batch_size
        seen.append(flat)
    assert len(numbers) % batch_size == 0 or not np.array_equal(seen[0], seen[1])


def test_the_position_alone_resumes_a_run() -> None:
    one = Streams(text(103), batch_size=4, window=7)
    batches = [one.next() for _ in range(11)]
    other = Streams(text(103), batch_size=4, window=7)
    other.position = 5
    for batch in batches[5:]:
        again = other.next()
        np.testing.assert_array_equal(batch.inputs, again.inputs)
        np.testing.assert_array_equal(batch.targets, again.targets)
        assert batch.first == again.first
    assert one.epoch == other.epoch == 11 / one.windows_per_epoch


def test_a_text_shorter_than_one_batch_is_refused() -> None:
    with pytest.raises(DataError, match="shorter than one batch: 27 symbols.*need 28"):
        Streams(text(27), batch_size=4, window=7, name="a.txt")


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 6))
def test_evaluation_counts_every_symbol_once(length: int, window: int, streams: int) -> None:
    numbers = text(length)
    windows = list(evaluation_windows(numbers, window=window, streams=streams))
    targets = np.concatenate([w.targets for w in windows]).T.reshape(-1)
    np.testing.assert_array_equal(targets[targets != IGNORED], numbers)
    assert sum(w.tokens for w in windows) == length
    assert [w.first for w in windows] == [True] + [False] * (len(windows) - 1)
    inputs = np.concatenate([w.inputs for w in windows]).T.reshape(-1)
    assert ((inputs >= PADDING) & (inputs != IGNORED)).all()


def test_one_evaluation_stream_reads_the_text_straight_through() -> None:
    windows = list(evaluation_windows(text(10), window=4))
    inputs = np.concatenate([w.inputs for w in windows])[:, 0]
    np.testing.assert_array_equal(inputs, [START, *text(9)])
