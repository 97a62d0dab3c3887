"""The tasks that show how long a network remembers: adding, copy, temporal order, parity. Each is drawn anew from a seed.

Sequences come sample first: `inputs[k]` is the k-th sequence, (steps, features) or (steps,) of symbols. A network of recell takes
them with ``batch_first=True``, or as ``inputs.swapaxes(0, 1)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recell.data.drawing import generator_of
from recell.errors import DataError

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

ADDING_CHANCE = 1 / 6  # squared error of always answering 1: the variance of the sum of two uniform numbers
COPY_SYMBOLS = 10  # 0 is the blank, 1 to 8 are to be remembered, 9 asks for them
COPY_LENGTH = 10  # how many are to be remembered
ORDER_SYMBOLS = "EBabcdXY"


def adding(n: int, length: int = 150, seed: int = 0) -> tuple[Floats, Floats]:
    """The adding problem: inputs (n, length, 2) and targets (n,), the sum of the two marked values.

    Channel 0 is uniform in [0, 1); channel 1 is zero but for two ones, the first in the first half of the steps, the second in
    the second (Hochreiter and Schmidhuber 1997; this form: Le, Jaitly and Hinton 2015). Always answering 1 has a squared
    error of 1/6. Raises DataError below 2 steps.
    """
    _check(n, length, least=2)
    rng = generator_of(seed)
    values = rng.random((n, length), dtype=np.float32)
    half = length // 2
    places = np.stack([rng.integers(0, half, n), rng.integers(half, length, n)], axis=1)  # (n, 2)
    marks = np.zeros((n, length), np.float32)
    np.put_along_axis(marks, places, 1.0, axis=1)
    targets = np.take_along_axis(values, places, axis=1).sum(axis=1)
    return np.stack([values, marks], axis=2), targets


def copy(n: int, length: int = 100, seed: int = 0) -> tuple[Numbers, Numbers]:
    """The copy problem with a gap of `length`: symbols (n, length + 20) in, symbols (n, length + 20) to answer.

    In: 10 symbols from 1..8, length - 1 blanks (0), the delimiter 9, 10 blanks. To answer: length + 10 blanks, then the 10
    symbols (Hochreiter and Schmidhuber 1997; this form: Arjovsky, Shah and Bengio 2016). The mean cross-entropy of a network
    without memory is `copy_chance(length)`. Raises DataError for a gap below 1.
    """
    _check(n, length, least=1)
    remembered = generator_of(seed).integers(1, COPY_SYMBOLS - 1, (n, COPY_LENGTH))
    inputs = np.zeros((n, length + 2 * COPY_LENGTH), np.int64)
    inputs[:, :COPY_LENGTH] = remembered
    inputs[:, COPY_LENGTH + length - 1] = COPY_SYMBOLS - 1
    targets = np.zeros_like(inputs)
    targets[:, -COPY_LENGTH:] = remembered
    return inputs, targets


def copy_chance(length: int) -> float:
    """Nats per step of a network that knows the task but remembers nothing: 10 ln 8 over length + 20 steps."""
    return COPY_LENGTH * float(np.log(COPY_SYMBOLS - 2)) / (length + 2 * COPY_LENGTH)


def temporal_order(n: int, length: tuple[int, int] | int = (100, 110), seed: int = 0) -> tuple[Floats, Numbers, Numbers]:
    """In which order did X and Y come? Inputs (n, longest, 8) one-hot, classes (n,) and lengths (n,).

    A sequence starts with E, ends with B and is random among a, b, c, d but for two places, 10..20 and 50..60 (of 100 to 110
    steps; counted from 0), that hold X or Y; the classes 0 to 3 are XX, XY, YX, YY (Hochreiter and Schmidhuber 1997, task 6a).
    Beyond a row's length its inputs are 0. Chance is ln 4 nats. Other lengths move the two places in proportion; a
    number is the length of all. Raises DataError where the shortest length is below 10 or above the longest.
    """
    shortest, longest = length if isinstance(length, (tuple, list)) else (length, length)
    _check(n, shortest, least=10)
    if longest < shortest:
        raise DataError(f"temporal_order: the lengths go from {shortest} to {longest}; write the shorter first")
    rng = generator_of(seed)
    lengths = rng.integers(shortest, longest + 1, n)
    symbols = rng.integers(2, 6, (n, longest))
    symbols[:, 0] = ORDER_SYMBOLS.index("E")
    symbols[np.arange(n), lengths - 1] = ORDER_SYMBOLS.index("B")
    second = rng.integers(0, 2, (n, 2))  # 0: X, 1: Y
    for column, (low, high) in enumerate(((10, 20), (50, 60))):
        places = rng.integers(low * shortest // 100, high * shortest // 100 + 1, n)
        symbols[np.arange(n), places] = ORDER_SYMBOLS.index("X") + second[:, column]
    inputs = np.eye(len(ORDER_SYMBOLS), dtype=np.float32)[symbols]
    inputs[np.arange(longest) >= lengths[:, None]] = 0
    return inputs, 2 * second[:, 0] + second[:, 1], lengths


def parity(n: int, length: int = 50, seed: int = 0, *, every_step: bool = True) -> tuple[Floats, Numbers]:
    """Is the number of ones so far odd? Inputs (n, length, 1) of zeros and ones, targets (n, length), or (n,) of the last step.

    Solved only by a network whose state follows exactly: test it on lengths longer than those it learned from. Chance is ln 2
    nats. Raises DataError below 1 step.
    """
    _check(n, length, least=1)
    bits = generator_of(seed).integers(0, 2, (n, length))
    targets = np.bitwise_xor.accumulate(bits, axis=1)
    return bits[:, :, None].astype(np.float32), targets if every_step else targets[:, -1]


def _check(n: int, length: int, least: int) -> None:
    if n < 1:
        raise DataError(f"n is the number of sequences; came {n}; write at least 1")
    if length < least:
        raise DataError(f"a sequence of {length} steps is too short for this task; write at least {least}")
