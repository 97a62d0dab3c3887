"""Programs of the native runtime written by hand over NumPy buffers, and comparisons that raise."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from recell.compiler.backends.cpu import library

DTYPES = (np.float32, np.float64)


class Hand:
    """A program whose buffers are the NumPy arrays given to it: building calls are methods, runs take sizes."""

    def __init__(self, dtype, halves=False):
        self.dtype = np.dtype(dtype)
        self.program = library.Program(double=self.dtype == np.float64, buffers=64, halves=halves)
        self.arrays = []

    def __getattr__(self, call):
        return lambda *arguments: self.program.build(call, *arguments)

    def buffer(self, array):
        assert array.dtype == self.dtype and array.flags.c_contiguous
        self.arrays.append(array)
        return len(self.arrays) - 1

    def memory(self, array, slot, column=0, width=None):
        """An operand over the whole rows of `array`, or over some columns. Returns its id."""
        width = array.shape[-1] - column if width is None else width
        return self.program.build("memory", self.find(array), slot, array.shape[-1], column, width)

    def find(self, array):
        """The buffer of this very array, made at its first use."""
        known = [i for i, other in enumerate(self.arrays) if other is array]
        return known[0] if known else self.buffer(array)

    def weight(self, array, transposed=False):
        return self.matrix(self.find(array), 0, *array.shape, array.shape[1], int(transposed))

    def sums(self, array):
        return self.accumulator(self.find(array), 0, array.size)

    def product(self, a, b, array):
        return self.pair(a, b, self.find(array), 0, array.shape[1])

    def point(self, op, destination, a=-1, b=-1, c=-1, immediate=0):
        return self.program.point(op, destination, a, b, c, immediate)

    def run(self, steps, rows, **options):
        run = self.bound(steps, rows, **options)
        self.program.run(run.addresses, run.call)

    def bound(
        self,
        steps,
        rows,
        *,
        threads=1,
        reverse=False,
        active=None,
        row_numbers=None,
        seed=0,
        layer=0,
        direction=0,
        packs=None,
        keep_packs=False,
    ):
        active = None if active is None else np.ascontiguousarray(active, np.int64)
        row_numbers = None if row_numbers is None else np.ascontiguousarray(row_numbers, np.int64)
        call = library.CallArguments(
            steps,
            rows,
            int(reverse),
            active.ctypes.data if active is not None else None,
            row_numbers.ctypes.data if row_numbers is not None else None,
            seed,
            layer,
            direction,
            threads,
            int(keep_packs),
            packs,
        )
        addresses = [a.ctypes.data for a in self.arrays] + [None] * (64 - len(self.arrays))
        return library.Run(self.program, addresses, call, (self.arrays, active, row_numbers))


class Numbers:
    """Random distinct arrays of one dtype."""

    def __init__(self, dtype, seed=0):
        self.dtype = np.dtype(dtype)
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape, scale=1.0):
        return (self.random.standard_normal(shape) * scale).astype(self.dtype)

    def empty(self, *shape):
        """Filled with NaN: what is not written shows."""
        return np.full(shape, np.nan, self.dtype)


def close(actual, expected, scale=1.0):
    """Raises unless equal to the dtype's tolerance, relative to the largest value expected; NaN equals NaN."""
    relative = {4: 4e-6, 8: 1e-13}[actual.dtype.itemsize] * scale
    finite = np.abs(expected[np.isfinite(expected)])
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=relative * (finite.max() if finite.size else 0))


def same(actual, expected):
    """Raises unless the bits are equal."""
    np.testing.assert_array_equal(actual.view(np.uint8), expected.view(np.uint8))


@pytest.fixture(params=DTYPES, ids=("float", "double"))
def dtype(request):
    return request.param


@pytest.fixture
def hand(dtype):
    return Hand(dtype)


@pytest.fixture
def make_hand():
    return Hand


@pytest.fixture
def numbers(dtype):
    return Numbers(dtype)


@pytest.fixture
def assert_close():
    return close


@pytest.fixture
def assert_same():
    return same


@pytest.fixture
def own_pool():
    """The library's own threads, whether torch is loaded or not."""
    library.share_team()
    library.load().rc_set_team(None, None, None)
    yield
    library._team_shared = False
    library.share_team()


@pytest.fixture
def native():
    return library.load()


@pytest.fixture
def pointer():
    return ctypes.c_void_p
