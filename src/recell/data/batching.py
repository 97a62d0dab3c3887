"""Cutting one long text into batches for truncated back-propagation through time (Williams & Peng 1990).

The text is laid into ``batch_size`` parallel streams; a batch is the next ``window`` steps of all of them,
and the network's state is carried from one batch to the next. Every stream of an epoch begins with the start
symbol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recell.data.vocabulary import PADDING, START
from recell.errors import DataError

IGNORED = -100  # target of a padded step; torch's cross-entropy skips it by default

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Some steps of all streams: ``targets[t]`` is the symbol after ``inputs[t]``; both (steps, streams)."""

    inputs: Numbers
    targets: Numbers
    first: bool  # the streams begin here: the state carried so far does not belong to them

    @property
    def tokens(self) -> int:
        """How many targets count."""
        return int(np.count_nonzero(self.targets != IGNORED))


class Streams:
    """The training batches of one text, without end; ``position`` alone says where they stand.

    What does not fill the streams evenly (fewer than ``batch_size`` symbols) is left out at another place
    each epoch.
    """

    def __init__(self, numbers: Numbers, *, batch_size: int, window: int, name: str = "the text") -> None:
        if len(numbers) < batch_size * window:
            raise DataError(
                f"{name} is shorter than one batch: {len(numbers):,} symbols to train on, and {batch_size} "
                f"streams of {window} steps need {batch_size * window:,}; "
                "give a longer text, or a smaller batch_size or window"
            )
        self._numbers = numbers
        self._batch_size = batch_size
        self._window = window
        self.position = 0  # windows handed out so far

    @property
    def windows_per_epoch(self) -> int:
        """Windows that an epoch has; the last may be shorter than the others."""
        return -(-self._stream_length // self._window)

    @property
    def epoch(self) -> float:
        """Epochs done, with the fraction."""
        return self.position / self.windows_per_epoch

    @property
    def _stream_length(self) -> int:
        return len(self._numbers) // self._batch_size

    def next(self) -> Window:
        """The window at ``position``, which moves on."""
        epoch, index = divmod(self.position, self.windows_per_epoch)
        self.position += 1
        remainder = len(self._numbers) - self._stream_length * self._batch_size
        rows = self._rows(epoch % (remainder + 1))
        return _window(rows, index * self._window, self._window)

    def _rows(self, offset: int) -> Numbers:
        used = self._stream_length * self._batch_size
        return self._numbers[offset : offset + used].reshape(self._batch_size, self._stream_length)


def evaluation_windows(numbers: Numbers, *, window: int, streams: int = 1) -> Iterator[Window]:
    """The whole text, every symbol counted once, in ``streams`` equal parts.

    One stream is the exact figure; more are faster and a little pessimistic: each begins without context.
    """
    length = -(-len(numbers) // streams)
    rows = np.full((streams, length), IGNORED, np.int64)
    rows.reshape(-1)[: len(numbers)] = numbers
    for begin in range(0, length, window):
        yield _window(rows, begin, window)


def _window(rows: Numbers, begin: int, window: int) -> Window:
    targets = rows[:, begin : begin + window]  # (streams, steps)
    before = np.full((len(rows), 1), START, np.int64) if begin == 0 else rows[:, begin - 1 : begin]
    inputs = np.concatenate([before, targets[:, :-1]], axis=1)
    inputs[inputs == IGNORED] = PADDING
    return Window(np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T), begin == 0)
