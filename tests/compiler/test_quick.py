"""A stream's step as a built-in: the same as the ordinary step, for arguments of the very form that it takes, for no others."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from recell import cells
from recell.compiler.backends.cpu import quick
from recell.runtime.network import make_network
from recell.runtime.session import Session

SIZES = {"input_size": 5, "hidden_size": 37, "num_layers": 1, "sizes": {}}
VOCABULARY = 11


@pytest.fixture
def network():
    random, cell = np.random.default_rng(4), cells.LSTM
    shapes = {f"recurrent.{p.name}_l0": p.shape for p in cell.parameters(cell.resolve(5, 37, {}))}
    shapes |= {"embedding.weight": (VOCABULARY, 5), "output.weight": (VOCABULARY, 37), "output.bias": (VOCABULARY,)}
    tensors = {name: random.normal(size=shape) * 0.4 for name, shape in shapes.items()}
    return make_network(cell, SIZES, tensors, backend="cpu", dtype="float32")


def quick_of(session):
    assert session._quick.__name__ == "step", "this Python has no built-in step"
    return session._quick


def test_it_is_the_ordinary_step(network):
    session, plain = Session(network, 3), Session(network, 3)
    step = quick_of(session)
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(3, 5)).astype(np.float32)
        np.testing.assert_array_equal(step(x), plain._step(x.astype(np.float64)))
        numbers = [seed, 2 * seed, VOCABULARY - 1]
        np.testing.assert_array_equal(step(numbers), plain._step(np.array(numbers)))
    for name, value in session.state.items():
        np.testing.assert_array_equal(value, plain.state[name])


X = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
ODD = {
    "another dtype": X.astype(np.float64),
    "another byte order": X.astype(">f4"),
    "another shape": X[:, :4],
    "another number of rows": X[:2].copy(),
    "one dimension": X[0],
    "three dimensions": X[None],
    "columns first": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, 0)[::2],
    "not aligned": np.frombuffer(b"0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(3, 5),
    "a kind of array": X.view(np.matrix),
    "too few numbers": [1, 2],
    "a number out of range": [1, 2, VOCABULARY],
    "below zero": [1, -1, 2],
    "an endless number": [1, 2, 10**30],
    "no whole number": [1, 2, 3.0],
    "a truth": [1, 2, True],
    "a number of NumPy's": [1, 2, np.int64(3)],
    "a tuple": (1, 2, 3),
    "nothing": None,
}


@pytest.mark.parametrize("odd", ODD)
def test_anything_else_is_left_to_the_ordinary_step(network, odd):
    session, twin = Session(network, 3), Session(network, 3)
    session.step(X)
    twin.step(X)
    before = session.state
    assert quick_of(session)(ODD[odd]) is None
    for name, value in session.state.items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(quick_of(session)(X), twin.step(X))


def test_it_counts_its_references(network):
    session = Session(network, 3)
    step, scores = quick_of(session), session._scores
    before = sys.getrefcount(scores), sys.getrefcount(None)
    for _ in range(1000):
        step(X)
        step(None)
    after = sys.getrefcount(scores), sys.getrefcount(None)
    assert after[0] == before[0] and abs(after[1] - before[1]) < 100


def test_it_outlives_its_session(network):
    """The buffers and the stream stay while only the built-in is left, and go with it."""
    steps = [quick_of(Session(network, 3)) for _ in range(3)]
    gc.collect()
    others = [Session(network, 3) for _ in range(20)]  # would take the place of what had been freed
    expected = Session(network, 3).step(X)
    for step in steps:
        np.testing.assert_array_equal(step(X), expected)
    assert len(others) == 20


GONE = """
    import gc
    import numpy as np
    from recell.compiler.backends.cpu.stream import Stream

    numbers, x, scores = np.zeros(3, np.int64), np.zeros((3, 5), np.float32), np.zeros((3, 7), np.float32)
    class Session:
        def __init__(self):
            self.stream = Stream()
            self.stream.add_table(np.zeros((4, 5), np.float32), numbers, x)
            self.quick = self.stream.quick(numbers, x, scores)
    for _ in range(5):
        session = Session()
        assert session.quick([1, 2, 3]) is scores
        session.itself = session
        del session
        gc.collect()
    last = Session()
    print("all gone")
"""


def test_python_may_free_it_in_any_order():
    """Python reads a built-in's definition as it frees the built-in; freed memory, here filled with ones, would crash it."""
    freed = {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "255"}
    program = [sys.executable, "-c", textwrap.dedent(GONE)]
    done = subprocess.run(program, env={**os.environ, **freed}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "all gone\n"), done.stderr


def test_a_session_in_use_is_refused(network):
    session = Session(network, 3)
    session._hold()
    assert quick_of(session)(X) is None
    session._release()
    assert quick_of(session)(X) is not None


@pytest.mark.parametrize("place", ["dimensions_at", "flags_at"])
def test_where_arrays_are_otherwise_there_is_none(monkeypatch, place):
    assert quick.places_hold()
    monkeypatch.setitem(quick.PLACES, place, quick.PLACES[place] + 4)
    assert not quick.places_hold()


def test_a_session_steps_without_it(network, monkeypatch):
    monkeypatch.setattr("recell.compiler.backends.cpu.stream.is_available", lambda: False)
    session = Session(network, 3)
    assert session._quick(X) is None
    np.testing.assert_allclose(session.step(X), Session(network, 3).run(X[None])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(session.step([1, 2, 3]).shape, (3, VOCABULARY))
