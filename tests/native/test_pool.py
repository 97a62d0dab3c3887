"""The workspace pool: reuse, alignment, trimming, threads."""

from __future__ import annotations

import ctypes
import threading

MEGABYTE = 1 << 20


def test_reuse(native):
    native.rc_pool_trim()
    before = native.rc_pool_bytes()
    block = native.rc_alloc(5 * MEGABYTE)
    assert block % 64 == 0 and native.rc_pool_bytes() == before + 6 * MEGABYTE
    native.rc_free(block)
    assert native.rc_alloc(5 * MEGABYTE) == block
    native.rc_free(block)
    native.rc_pool_trim()
    assert native.rc_pool_bytes() == before


def test_blocks_do_not_overlap(native):
    sizes = [0, 1, 255, 256, 257, 100_000, MEGABYTE, 3 * MEGABYTE]
    blocks = [native.rc_alloc(size) for size in sizes for _ in range(3)]
    spans = sorted(zip(blocks, [size for size in sizes for _ in range(3)], strict=True))
    for (start, size), (following, _) in zip(spans, spans[1:], strict=False):
        assert start % 64 == 0 and start + max(size, 1) <= following
    for block, size in spans:
        ctypes.memset(block, 1, size)
        native.rc_free(block)


def test_a_much_larger_block_is_not_wasted(native):
    large = native.rc_alloc(64 * MEGABYTE)
    native.rc_free(large)
    small = native.rc_alloc(4 * MEGABYTE)
    assert small != large
    native.rc_free(small)


def test_impossible_size(native):
    assert native.rc_alloc(1 << 60) is None
    assert native.rc_alloc(-1) is None
    assert native.rc_last_error() == b"out of memory"


def test_free_nothing(native):
    native.rc_free(None)


def test_threads(native):
    def work():
        for i in range(300):
            block = native.rc_alloc(1000 * (i % 40) + 1)
            ctypes.memset(block, i % 256, 1)
            native.rc_free(block)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
