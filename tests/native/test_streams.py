"""Streams: programs bound once to buffers that stay. What is fed to them step by step is what NumPy gives, or it is refused."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.compiler.backends.cpu.emitter import Emitter
from recell.compiler.backends.cpu.stream import packed_affine
from recell.errors import RecellError

KINDS = {"float": (np.float32, False), "double": (np.float64, False), "bf16": (np.float32, True)}
INPUTS, HIDDEN, OUTPUTS = 19, 71, 23


def aligned(size):
    """`size` bytes or more from a 64-byte boundary on."""
    size = max(size, 64)
    block = np.zeros(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + size]


class Chain:
    """An `rc_stream` that keeps what it points at; calls return the library's codes."""

    def __init__(self, native):
        self.native, self.kept = native, []
        self.pointer = native.rc_stream_new()

    def __del__(self):
        self.native.rc_stream_free(self.pointer)

    def add(self, hand, rows, /, **options):
        """A program whose packs are filled here; `options` change the call."""
        packs = aligned(hand.program.pack_bytes())
        hand.run(0, 0, packs=packs.ctypes.data)
        self.kept.append(packs)
        return self.bind(hand, hand.arrays, **{"rows": rows, "packs": packs.ctypes.data, **options})

    def bind(self, hand, arrays, **options):
        """The program on these arrays."""
        self.kept += [hand, arrays]
        call = library.CallArguments(**{"steps": 1, "threads": 1, "keep_packs": 1, **options})
        buffers = hand.program.pointers([a.ctypes.data for a in arrays] + [None] * (64 - len(arrays)))
        return self.native.rc_stream_program(self.pointer, hand.program.pointer, buffers, ctypes.byref(call))

    def table(self, table, numbers, destination):
        self.kept += [table, numbers, destination]
        places = (table.ctypes.data, len(table), table[0].nbytes, numbers.ctypes.data, len(numbers), destination.ctypes.data)
        return self.native.rc_stream_table(self.pointer, *places)

    def step(self, first=0):
        return self.native.rc_stream_step(self.pointer, first)

    def refused(self, code, words):
        """Raises unless the call gave a negative code and left these words as its reason."""
        assert code < 0 and words in (line := self.native.rc_last_error().decode()) and "\n" not in line, (code, words)


class Elman:
    """h = tanh(W x + U h + b) on the rows of `x`, the state carried on in `h`."""

    def __init__(self, make_hand, kind, rows, seed=0):
        dtype, self.halves = KINDS[kind]
        self.hand, self.kind = make_hand(dtype, self.halves), kind
        random = np.random.default_rng(seed)
        shapes = {"x": (rows, INPUTS), "W": (HIDDEN, INPUTS), "U": (HIDDEN, HIDDEN), "b": (HIDDEN,), "h": (rows, HIDDEN)}
        for name, shape in shapes.items():
            setattr(self, name, (random.standard_normal(shape) * (0.2 if name in "WU" else 1)).astype(dtype))
        self.build()

    def build(self):
        hand, roll = self.hand, np.zeros((2, *self.h.shape), self.h.dtype)
        hand.loop(0)
        state, before = hand.memory(roll, library.ROLL_NEW), hand.memory(roll, library.ROLL_PREVIOUS)
        carried = hand.memory(self.h, library.ROW)
        hand.state(carried, before, state, carried)
        hand.stage(0)
        total = hand.tile(HIDDEN)
        hand.form(total, hand.memory(self.b, library.VECTOR))
        hand.segment(hand.weight(self.W), hand.memory(self.x, library.ROW))
        hand.segment(hand.weight(self.U), before)
        hand.point("tanh", state, total)

    def after(self, h, x):
        """The next state, in float64 but for what bf16 rounds."""
        w, u, v, g = (in_bf16(a) if self.halves else a.astype(np.float64) for a in (self.W, self.U, x, h.astype(self.h.dtype)))
        return np.tanh(v @ w.T + g @ u.T + self.b)

    def tolerance(self):
        """A state that falls on bf16's other neighbour moves the next one by as much as a bf16 has room for."""
        return {"float": 2e-6, "double": 1e-13, "bf16": 4e-3}[self.kind]


def in_bf16(array):
    """Rounded to the nearest bf16, ties to even; as float64."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def affine(make_hand, kind, v, seed=1):
    """A program y = M v + c on the rows of v, with M, c and y."""
    hand, random = make_hand(*KINDS[kind]), np.random.default_rng(seed)
    m, c = (random.standard_normal(s).astype(v.dtype) for s in ((OUTPUTS, v.shape[1]), (OUTPUTS,)))
    y = np.full((len(v), OUTPUTS), np.nan, v.dtype)
    hand.loop(0)
    hand.stage(0)
    hand.form(hand.memory(y, library.ROW), hand.memory(c, library.VECTOR))
    hand.segment(hand.weight(m), hand.memory(v, library.ROW))
    return hand, m, c, y


def counter(make_hand, rows=3, width=5):
    """A program that adds 1 to `h` at each step."""
    hand, h = make_hand(np.float64), np.zeros((rows, width))
    hand.loop(0)
    state = hand.memory(h, library.ROW)
    hand.state(state, state, state, state)
    hand.stage(0)
    hand.point("add", state, state, hand.constant(1.0))
    return hand, h


@pytest.fixture
def chain(native):
    return Chain(native)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", (1, 2, 5, 29))
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_steps_carry_the_state_on(chain, make_hand, kind, rows, threads, own_pool):
    layer = Elman(make_hand, kind, rows)
    assert chain.add(layer.hand, rows, threads=threads) == 0
    random = np.random.default_rng(7)
    for _ in range(6):
        layer.x[...] = random.standard_normal(layer.x.shape)
        expected = layer.after(layer.h, layer.x)
        assert chain.step() == 0
        np.testing.assert_allclose(layer.h, expected, rtol=0, atol=layer.tolerance())


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_has_the_bits_of_a_run(chain, make_hand, kind, assert_same):
    layer, twin = Elman(make_hand, kind, 5), Elman(make_hand, kind, 5)
    assert chain.add(layer.hand, 5) == 0
    for _ in range(4):
        assert chain.step() == 0
        twin.hand.run(1, 5)
        assert_same(layer.h, twin.h)


@pytest.mark.parametrize("kind", KINDS)
def test_links_run_in_order_from_the_first_named(chain, make_hand, kind):
    """Table, layer, output layer: the whole chain, and without the table."""
    layer, rows = Elman(make_hand, kind, 5), 5
    output, m, c, y = affine(make_hand, kind, layer.h)
    table = np.random.default_rng(3).standard_normal((11, INPUTS)).astype(layer.x.dtype)
    numbers = np.array([0, 10, 4, 4, 7])
    assert [chain.table(table, numbers, layer.x), chain.add(layer.hand, rows), chain.add(output, rows)] == [0, 0, 0]
    for first, x in ((0, table[numbers]), (1, np.ones_like(layer.x)), (0, table[numbers])):
        layer.x[...] = x if first else np.nan
        expected = layer.after(layer.h, x)
        assert chain.step(first) == 0
        np.testing.assert_allclose(layer.h, expected, rtol=0, atol=layer.tolerance())
        np.testing.assert_allclose(y, layer.h.astype(np.float64) @ m.T + c, rtol=0, atol=layer.tolerance() * 40)


@pytest.mark.parametrize("row", (1, 3, 64, 129))
def test_a_tables_rows_of_any_bytes(chain, row):
    table = np.random.default_rng(0).integers(0, 256, (7, row), np.uint8)
    numbers, destination = np.array([6, 0, 3, 3]), np.zeros((4, row), np.uint8)
    assert chain.table(table, numbers, destination) == 0
    for _ in range(3):
        numbers[:] = numbers[::-1].copy() + 1 - (numbers.max() == 6)
        np.clip(numbers, 0, 6, out=numbers)
        assert chain.step() == 0
        np.testing.assert_array_equal(destination, table[numbers])


@pytest.mark.parametrize("wrong", (-1, 7, 2**62, -(2**63)))
def test_a_number_out_of_range_moves_nothing(chain, make_hand, wrong):
    hand, h = counter(make_hand)
    table, numbers, destination = np.ones((7, 3)), np.array([2, wrong, 6]), np.zeros((3, 3))
    assert [chain.table(table, numbers, destination), chain.add(hand, 3)] == [0, 0]
    chain.refused(chain.step(), f"token numbers go from 0 to 6; came {wrong} in stream 1")
    assert not destination.any() and not h.any()
    numbers[1] = 0
    assert chain.step() == 0 and destination.all() and (h == 1).all()


def test_streams_of_one_program_do_not_mix(native, make_hand, own_pool):
    """They share the program and its packs; each has buffers of its own. Several threads, each in its own stream."""
    layer, rows = Elman(make_hand, "float", 3), 3
    packs = aligned(layer.hand.program.pack_bytes())
    layer.hand.run(0, 0, packs=packs.ctypes.data)
    start, chains, states = layer.h.copy(), [], []
    for n in range(4):
        mine = [a + n * 0.1 if a is layer.h else a.copy() if a.ndim == 3 else a for a in layer.hand.arrays]
        states.append(next(a for a, b in zip(mine, layer.hand.arrays, strict=True) if b is layer.h))
        chain = Chain(native)
        assert chain.bind(layer.hand, mine, rows=rows, threads=2, packs=packs.ctypes.data) == 0
        chains.append(chain)
    workers = [threading.Thread(target=lambda c=c: [c.step() for _ in range(50)]) for c in chains]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for n, found in enumerate(states):
        h = start + np.float32(n * 0.1)
        for _ in range(50):
            h = layer.after(h, layer.x)
        np.testing.assert_allclose(found, h, rtol=0, atol=2e-4)


def test_who_holds_a_stream_steps_alone(chain, make_hand):
    hand, h = counter(make_hand)
    assert chain.add(hand, 3) == 0
    assert chain.native.rc_stream_hold(chain.pointer) == 0
    table = chain.table(h, np.zeros(3, np.int64), h)
    for refused in (chain.step(), chain.native.rc_stream_hold(chain.pointer), chain.add(hand, 3), table):
        chain.refused(refused, "in use by another thread")
    assert not h.any()
    assert chain.native.rc_stream_step_held(chain.pointer, 0) == 0
    chain.native.rc_stream_release(chain.pointer)
    assert chain.step() == 0 and (h == 2).all()


def test_threads_in_one_stream_are_refused_or_alone(chain, make_hand):
    """Every step that says 0 has added exactly 1, whoever else tried."""
    hand, h = counter(make_hand)
    assert chain.add(hand, 3) == 0
    codes = []
    workers = [threading.Thread(target=lambda: codes.extend(chain.step() for _ in range(500))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(codes) == 2000 and (h == codes.count(0)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    (
        ({"keep_packs": 0}, "keeps its packs"),
        ({"packs": None}, "without packs"),
        ({"packs": 4096 + 8}, "64-byte aligned"),
        ({"steps": 0}, "one step"),
        ({"steps": 2}, "one step"),
        ({"rows": -1}, "rows -1"),
        ({"active": 4096}, "one step of all its rows"),
        ({"row_numbers": 4096}, "one step of all its rows"),
    ),
)
def test_calls_that_no_stream_runs(chain, make_hand, options, words):
    """Each is refused when the link is added, and no link is there afterwards."""
    hand, h = counter(make_hand)
    chain.refused(chain.add(hand, 3, **options), words)
    chain.refused(chain.step(1), "has 0 links")
    assert chain.add(hand, 3) == 0 and chain.step() == 0 and (h == 1).all()


def test_a_missing_buffer(chain, make_hand):
    hand, _ = counter(make_hand)
    packs = aligned(64)
    chain.refused(chain.bind(hand, [], rows=3, packs=packs.ctypes.data), "buffer 0 is NULL")
    call = library.CallArguments(steps=1, rows=3, keep_packs=1, packs=packs.ctypes.data)
    none = chain.native.rc_stream_program(chain.pointer, hand.program.pointer, None, ctypes.byref(call))
    chain.refused(none, "buffers is NULL")


@pytest.mark.parametrize("missing", (0, 3, 5))
def test_a_table_of_nothing(chain, missing):
    table, numbers = np.ones((2, 3)), np.zeros(2, np.int64)
    places = [table.ctypes.data, 2, 24, numbers.ctypes.data, 2, np.ones((2, 3)).ctypes.data]
    places[missing] = None
    chain.refused(chain.native.rc_stream_table(chain.pointer, *places), "needs a table")


@pytest.mark.parametrize("sizes", ((0, 24, 2), (2, 0, 2), (2, 24, 0), (-1, 24, 2)))
def test_a_table_without_a_size(chain, sizes):
    table, numbers = np.ones((2, 3)), np.zeros(2, np.int64)
    count, row, rows = sizes
    places = (table.ctypes.data, count, row, numbers.ctypes.data, rows, table.ctypes.data)
    chain.refused(chain.native.rc_stream_table(chain.pointer, *places), "needs a table")


def test_nothing_where_something_must_be(chain, make_hand):
    native, (hand, _) = chain.native, counter(make_hand)
    call = ctypes.byref(library.CallArguments(steps=1, rows=3, keep_packs=1))
    chain.refused(native.rc_stream_program(None, hand.program.pointer, None, call), "the stream is NULL")
    chain.refused(native.rc_stream_program(chain.pointer, None, None, call), "the program is NULL")
    chain.refused(native.rc_stream_program(chain.pointer, hand.program.pointer, None, None), "the call is NULL")
    for code in (native.rc_stream_step(None, 0), native.rc_stream_hold(None), native.rc_stream_step_held(None, 0)):
        chain.refused(code, "the stream is NULL")
    native.rc_stream_release(None)
    native.rc_stream_free(None)


def test_links_that_are_not_there(chain, make_hand):
    assert chain.step() == 0  # an empty chain does nothing
    hand, _ = counter(make_hand)
    assert chain.add(hand, 3) == 0
    assert chain.step(1) == 0
    for first in (-1, 2):
        chain.refused(chain.step(first), f"has 1 links; came {first}")


def test_no_rows(chain, make_hand):
    hand, h = counter(make_hand)
    assert chain.add(hand, 0, threads=2) == 0
    assert chain.step() == 0 and not h.any()


def test_a_bound_program_is_frozen(chain, make_hand):
    hand, _ = counter(make_hand)
    assert chain.add(hand, 3) == 0
    with pytest.raises(library.RecellError, match="already run"):
        hand.stage(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*JAX:RuntimeWarning")  # where JAX is loaded: the child never calls it
def test_a_forked_child_steps_on(chain, make_hand, own_pool):
    """On its copy of the buffers and without a team, to the parent's bits."""
    layer = Elman(make_hand, "float", 29)
    assert chain.add(layer.hand, 29, threads=2) == 0 and chain.step() == 0
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os.write(theirs, layer.h.tobytes() if chain.step() == 0 else b"")
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        found = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert chain.step() == 0
    assert found == layer.h.tobytes()


def test_a_program_says_how_many_buffers_it_takes(native):
    emitter = Emitter(double=False)
    emitter.memory(2, library.ROW, 3, 0, 3)
    with pytest.raises(RecellError, match="2 buffers; the program names 3, of 4096 at most"):
        emitter.finish(2)
    with pytest.raises(RecellError, match="4097 buffers"):
        emitter.finish(4097)
    assert emitter.finish(3).buffers == 3


def test_a_link_reads_no_more_addresses_than_its_program_takes(native):
    """They lie at the end of a page that nothing may be read behind."""
    weight, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)
    packed = packed_affine(weight, bias)
    x, y = np.ones((1, 3), np.float32), np.zeros((1, 2), np.float32)
    found = {**packed.values, ("input", 0): x, ("y", 0): y}
    addresses = (ctypes.c_void_p * packed.program.buffers)(*[found[key].ctypes.data for key in packed.layout.index])
    page = mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    ctypes.memmove(start + page - ctypes.sizeof(addresses), addresses, ctypes.sizeof(addresses))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
    chain = Chain(native)
    call = library.CallArguments(steps=1, rows=1, threads=1, keep_packs=1, packs=packed.block.address)
    place = start + page - ctypes.sizeof(addresses)
    assert native.rc_stream_program(chain.pointer, packed.program.pointer, place, ctypes.byref(call)) == 0
    chain.step()
    np.testing.assert_array_equal(y, x @ weight.T + bias)
