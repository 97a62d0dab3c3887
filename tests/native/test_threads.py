"""Threads: the same bits whatever the real team, forks, concurrent calls, the split by batch and by units."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np
import pytest

from recell.compiler.backends.cpu import library


class Layer:
    """An Elman layer with its weight gradient and a vector sum, for any sizes."""

    def __init__(self, hand, numbers, steps, rows, hidden):
        self.sizes = (steps, rows)
        self.hand = hand
        self.x = numbers(steps, rows, 33)
        self.y, self.product, self.total = (numbers.empty(*s) for s in ((steps, rows, hidden), (33, hidden), (hidden,)))
        h, first = numbers.empty(2, rows, hidden), numbers(rows, hidden)
        hand.loop(0)
        new, previous = hand.memory(h, library.ROLL_NEW), hand.memory(h, library.ROLL_PREVIOUS)
        hand.state(hand.memory(first, library.ROW), previous, new, -1)
        hand.stage(0)
        x, y, tile = hand.memory(self.x, library.STEP), hand.memory(self.y, library.STEP), hand.tile(hidden)
        hand.form(tile, -1)
        hand.segment(hand.weight(numbers(hidden, 33, scale=0.2)), x)
        hand.segment(hand.weight(numbers(hidden, hidden, scale=0.7 / hidden**0.5)), previous)
        hand.point("tanh", new, tile)
        hand.point("copy", y, new)
        hand.point("accumulate", hand.sums(self.total), new)
        hand.outer()
        hand.product(x, y, self.product)

    def run(self, **options):
        self.clear()
        self.hand.run(*self.sizes, **options)
        return self.results()

    def clear(self):
        for array in (self.y, self.product, self.total):
            array[:] = np.nan

    def results(self):
        return self.y.copy(), self.product.copy(), self.total.copy()


SIZES = ((10, 24, 150), (10, 3, 200), (5, 1, 300), (30, 40, 20))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("threads", (1, 2, 3, 4))
def test_same_bits_again(hand, numbers, assert_same, own_pool, sizes, threads):
    layer = Layer(hand, numbers, *sizes)
    first = layer.run(threads=threads)
    for _ in range(5):
        for again, before in zip(layer.run(threads=threads), first, strict=True):
            assert_same(again, before)


@pytest.mark.parametrize("sizes", SIZES)
def test_thread_counts_agree(hand, numbers, assert_close, own_pool, sizes):
    layer = Layer(hand, numbers, *sizes)
    alone = layer.run()
    for threads in (2, 3, 7):
        for other, expected in zip(layer.run(threads=threads), alone, strict=True):
            assert_close(other, expected, 20)


@pytest.mark.parametrize("sizes", SIZES)
def test_real_team_does_not_matter(hand, numbers, assert_same, native, own_pool, pointer, sizes):
    """A team of one real thread walks through all parts, and the bits are those of a whole team."""
    layer = Layer(hand, numbers, *sizes)
    whole = layer.run(threads=3)
    alone = lone_team(native, pointer)
    for again, before in zip(layer.run(threads=3), whole, strict=True):
        assert_same(again, before)
    assert alone


def lone_team(native, pointer):
    """Hands over a GOMP_parallel that gives no helper; returns what must stay alive."""
    import ctypes

    body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    parallel = ctypes.CFUNCTYPE(None, body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(lambda f, data, n, flags: f(data))
    number = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    count = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
    native.rc_set_team(*(ctypes.cast(f, pointer) for f in (parallel, number, count)))
    KEEP.append((parallel, number, count))
    return KEEP[-1]


KEEP = []  # functions that the library may still hold

# Thread sanitizer cannot see how an OpenMP that it did not compile synchronises.
torch_team = pytest.mark.skipif("tsan" in os.environ.get("LD_PRELOAD", ""), reason="libgomp is not instrumented")


@torch_team
def test_torch_team(hand, numbers, assert_same):
    """Through torch's OpenMP the bits are the own pool's."""
    torch = pytest.importorskip("torch")
    layer = Layer(hand, numbers, 10, 24, 150)
    library.load().rc_set_team(None, None, None)
    own = layer.run(threads=2)
    library._team_shared = False
    library.share_team()
    assert "torch" in (library.torch_openmp() or "torch")
    torch.ones(1000, 1000).sum()
    for again, before in zip(layer.run(threads=2), own, strict=True):
        assert_same(again, before)


def test_concurrent_calls(dtype, make_hand, numbers, assert_same, own_pool):
    """Several Python threads run one program on their own buffers: no state is shared."""
    layer = Layer(make_hand(dtype), numbers, 12, 24, 100)
    expected = layer.run(threads=2)
    program, templates = layer.hand.program, layer.hand.arrays
    failures = []

    def work():
        arrays = [a.copy() for a in templates]
        place = {id(t): a for t, a in zip(templates, arrays, strict=True)}
        call = library.CallArguments(12, 24, threads=2)
        for _ in range(20):
            for name in ("y", "product", "total"):
                place[id(getattr(layer, name))][:] = np.nan
            program.run([a.ctypes.data for a in arrays] + [None] * (64 - len(arrays)), call)
            results = (place[id(getattr(layer, name))] for name in ("y", "product", "total"))
            failures.extend(1 for got, want in zip(results, expected, strict=True) if not np.array_equal(got, want))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*JAX:RuntimeWarning")  # where JAX is loaded: the child never calls it
@pytest.mark.parametrize("team", ("own", pytest.param("torch", marks=torch_team)))
def test_fork(hand, numbers, own_pool, team):
    """In a forked child no team is left: it computes alone, to the same bits, and does not hang."""
    if team == "torch":
        pytest.importorskip("torch")
        library._team_shared = False
        library.share_team()
    layer = Layer(hand, numbers, 10, 24, 150)
    expected = layer.run(threads=2)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        again = layer.run(threads=2)
        os._exit(0 if all(map(np.array_equal, again, expected)) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    for again, before in zip(layer.run(threads=2), expected, strict=True):
        np.testing.assert_array_equal(again, before)


def test_more_threads_than_work(hand, numbers, assert_close, own_pool):
    layer = Layer(hand, numbers, 40, 2, 65)
    alone = layer.run()
    for other, expected in zip(layer.run(threads=64), alone, strict=True):
        assert_close(other, expected, 20)


def test_ragged_rows_are_shared_by_length(hand, numbers, assert_same, own_pool):
    layer = Layer(hand, numbers, 30, 40, 20)
    active = np.maximum(0, 40 - np.arange(30) * 2)
    first = layer.run(threads=3, active=active)
    for t in range(30):
        assert np.isnan(layer.y[t, active[t] :]).all() and not np.isnan(layer.y[t, : active[t]]).any()
    for again, before in zip(layer.run(threads=3, active=active), first, strict=True):
        assert_same(again, before)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("threads", (1, 2, 3, 5))
@pytest.mark.parametrize("alone", (False, True))
def test_runs_side_by_side(
    dtype, make_hand, numbers, assert_close, assert_same, native, own_pool, pointer, sizes, threads, alone
):
    """Each run of several is what it is by itself, and has the same bits again, on a whole team or on one thread."""
    steps, rows, hidden = sizes
    layers = [Layer(make_hand(dtype), numbers, *s) for s in (sizes, (steps + 3, rows + 1, hidden), (steps, rows, hidden + 9))]
    expected = [layer.run() for layer in layers]

    def together(count):
        for layer in layers[:count]:
            layer.clear()
        library.run_all([layer.hand.bound(*layer.sizes, threads=threads) for layer in layers[:count]])
        return [layer.results() for layer in layers[:count]]

    for count in (1, 2, 3):
        first = together(count)
        kept = lone_team(native, pointer) if alone else None
        for found, wanted, again in zip(first, expected, together(count), strict=False):
            for array, other, bits in zip(found, wanted, again, strict=True):
                assert_close(array, other, 20)
                assert_same(bits, array)
        native.rc_set_team(None, None, None)
        assert kept or not alone


def test_a_bad_run_among_several_is_refused_before_any_has_begun(dtype, make_hand, numbers, own_pool):
    layers = [Layer(make_hand(dtype), numbers, 5, 2, 30) for _ in range(2)]
    for layer in layers:
        layer.clear()
    runs = [layer.hand.bound(*layer.sizes, threads=2) for layer in layers]
    runs[1] = runs[1]._replace(addresses=[None] * 64)
    with pytest.raises(library.RecellError, match="is NULL"):
        library.run_all(runs)
    assert all(np.isnan(layer.y).all() for layer in layers)


def test_thread_count(monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", "3")
    assert library.thread_count() == 3
    monkeypatch.setenv("RECELL_NUM_THREADS", "none")
    with pytest.raises(library.RecellError, match="RECELL_NUM_THREADS"):
        library.thread_count()
    monkeypatch.delenv("RECELL_NUM_THREADS")
    assert library.thread_count() >= 1
    assert sys.modules.get("torch") is None or library.thread_count() == sys.modules["torch"].get_num_threads()
