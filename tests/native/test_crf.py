"""The conditional random field over NumPy buffers: against sums of logarithms, and nothing written but what is said."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from recell.compiler.backends.cpu import arrays, crf
from recell.compiler.backends.cpu.library import check, load
from recell.data.tags import may_follow
from recell.errors import RecellError

STEPS = 9
LENGTHS = (9, 1, 5, 9, 2, 9, 8, 7, 3, 9, 4)  # a block of eight sequences and three more
SCHEMES = {
    "bioes": may_follow(["O", *(f"{letter}-{kind}" for kind in "uvwxyz" for letter in "BIES")], "bioes"),
    "any of 37": np.ones((39, 39), bool),
    "any of 3": np.ones((5, 5), bool),
    "one tag": np.ones((3, 3), bool),
    "two kinds of 16": np.ones((18, 18), bool),
}


def tagged(numbers, scheme):
    allowed = SCHEMES[scheme]
    tags = len(allowed) - 2
    transitions = np.where(allowed, numbers(tags + 2, tags + 2), -np.inf).astype(numbers.dtype)
    path = numbers.random.integers(0, tags, (STEPS, len(LENGTHS)))
    path[np.arange(STEPS)[:, None] >= LENGTHS] = 10**6  # what lies beyond is not read
    scores = np.ascontiguousarray(2 * numbers(STEPS, len(LENGTHS), tags)).astype(numbers.dtype)
    return crf.Tagged(scores, transitions, path, np.array(LENGTHS, np.int64), crf.Moves(allowed[:tags, :tags]))


def expected(given, weights):
    """Losses and gradients by forward and backward sums in logarithms."""
    s, m, tags = given.scores.astype(np.float64), given.transitions.astype(np.float64), given.scores.shape[2]
    m = np.where(m == -np.inf, given.forbidden, m)
    inner, losses = m[:tags, :tags], np.zeros(len(LENGTHS))
    gradient, moves = np.zeros(s.shape), np.zeros(m.shape)
    for n, (length, weight) in enumerate(zip(LENGTHS, weights.astype(np.float64), strict=True)):
        alpha, beta = [m[tags, :tags] + s[0, n]], [m[:tags, tags + 1]]
        for t in range(1, length):
            alpha.append(np.logaddexp.reduce(alpha[-1][:, None] + inner, 0) + s[t, n])
            beta.insert(0, np.logaddexp.reduce(inner + s[length - t, n] + beta[0], 1))
        total = np.logaddexp.reduce(alpha[-1] + m[:tags, tags + 1])
        path = [tags, *given.path[:length, n].tolist(), tags + 1]
        losses[n] = total - sum(m[a, b] for a, b in zip(path, path[1:], strict=False))
        losses[n] -= sum(s[t, n, tag] for t, tag in enumerate(path[1:-1]))
        for t in range(length):
            gradient[t, n] += weight * np.exp(alpha[t] + beta[t] - total)
            gradient[t, n, path[t + 1]] -= weight
            if t:
                moves[:tags, :tags] += weight * np.exp(alpha[t - 1][:, None] + inner + s[t, n] + beta[t] - total)
        moves[tags, :tags] += weight * np.exp(alpha[0] + beta[0] - total)
        moves[:tags, tags + 1] += weight * np.exp(alpha[-1] + beta[-1] - total)
        np.subtract.at(moves, (path[:-1], path[1:]), weight)
    return losses, gradient, moves


def assert_near(actual, right):
    """Sums of numbers near 1 that cancel: what remains of 0 is rounding."""
    reach = 100 * np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, right, rtol=reach, atol=reach)


def found(given, weights):
    losses, saved = crf.crf_loss(given)
    return losses, *crf.crf_gradient(given, saved, weights)


@pytest.mark.parametrize("threads", (1, 3))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_against_sums_of_logarithms(numbers, scheme, threads, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", str(threads))
    given, weights = tagged(numbers, scheme), numbers(len(LENGTHS))
    for a, b in zip(found(given, weights), expected(given, weights), strict=True):
        assert_near(a, b)


def test_the_bits_do_not_depend_on_the_threads(own_pool, numbers, assert_same, monkeypatch):
    given, weights, results = tagged(numbers, "any of 37"), numbers(len(LENGTHS)), []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("RECELL_NUM_THREADS", threads)
        results.append(found(given, weights))
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            assert_same(a, b)


def test_tags_of_the_same_neighbours_stand_together():
    moves = crf.Moves(SCHEMES["bioes"][:-2, :-2])
    names = ["O", *(f"{letter}-{kind}" for kind in "uvwxyz" for letter in "BIES")]
    assert sorted(moves.order.tolist()) == list(range(25))
    after = ["".join(sorted(names[j][0] for j in np.flatnonzero(SCHEMES["bioes"][tag, :25]))) for tag in moves.order]
    assert sum(a != b for a, b in zip(after, after[1:], strict=False)) == 1
    for (starts, members), inside in ((moves.ahead, SCHEMES["bioes"]), (moves.back, SCHEMES["bioes"].T)):
        tiles = [members[starts[tile] : starts[tile + 1]] for tile in range(2)]
        listed = {(i, 16 * tile + j) for tile in range(2) for i in tiles[tile] for j in range(16)}
        placed = inside[:25, :25][moves.order][:, moves.order]
        assert {(i, j) for i, j in np.argwhere(placed)} <= listed and len(members) < 50


def test_nothing_else_is_written(numbers):
    given, weights = tagged(numbers, "bioes"), numbers(len(LENGTHS))
    sizes = (len(LENGTHS), given.scores.size, given.transitions.size)
    around = [numbers.empty(64 + size + 64) for size in sizes]
    saved = np.full(64 + STEPS * len(LENGTHS) * 32 + len(given.moves.ahead[1]) * 16 + 64, np.nan)
    call = crf._arguments(given, saved[64:-64])
    call.weights = arrays.address(weights)
    call.losses, call.gradient, call.moves = (arrays.address(a[64:]) for a in around)
    check(load().rc_crf_loss(ctypes.byref(call)))
    assert all(np.isnan(array[64:-64]).all() for array in around[1:])
    check(load().rc_crf_gradient(ctypes.byref(call)))
    for array, right in zip(around, expected(given, weights), strict=True):
        assert np.isnan(array[:64]).all() and np.isnan(array[-64:]).all()
        assert_near(array[64:-64], right.ravel())
    assert np.isnan(saved[:64]).all() and np.isnan(saved[-64:]).all()


def test_what_may_have_been_lost_is_no_finite_number(numbers):
    """A step's scores too wide, a row without a path, a move too far from 0: NumPy or torch sum then."""
    given = tagged(numbers, "any of 3")
    assert np.isfinite(crf.crf_loss(given)[0]).all()
    given.scores[2, 0, 1] = np.nan
    given.scores[0, 3, :2] += 231  # wider than a step may be
    losses = crf.crf_loss(given)[0]
    assert not np.isfinite(losses[[0, 3]]).any() and np.isfinite(losses[[2, 4]]).all()
    given.transitions[4, 1] = 116
    assert np.isfinite(crf.crf_loss(given)[0]).any()  # from the end: no move
    given.transitions[1, 1] = 116
    assert not np.isfinite(crf.crf_loss(given)[0]).any()
    given.transitions[1, 1], given.transitions[2, :3], given.transitions[3, :3] = 0, -110, [0, 0, -110]
    given.scores[:, 2] = [220, 220, 0]  # tag 2 at the first step: 110 and 220 nats behind
    assert not np.isfinite(crf.crf_loss(given)[0][2])
    given.transitions[:, 4] = -np.inf
    assert not np.isfinite(crf.crf_loss(given)[0]).any()


def test_refused(numbers):
    given = tagged(numbers, "any of 3")
    for name, place, value, line in (
        ("path", (2, 0), 3, r"tag 2 of sequence 0 is 3; tags go from 0 to 2"),
        ("path", (0, 1), -1, r"tag 0 of sequence 1 is -1"),
        ("lengths", 1, 0, r"lengths\[1\] is 0; they go from 1 to 9"),
        ("lengths", 2, 10, r"lengths\[2\] is 10"),
    ):
        before, getattr(given, name)[place] = getattr(given, name)[place], value
        with pytest.raises(RecellError, match=line):
            crf.crf_loss(given)
        getattr(given, name)[place] = before
    for line, part, place, value in (
        ("order does not hold each tag once", given.moves.order, 0, given.moves.order[1]),
        ("ahead has the place 3 of 3", given.moves.ahead[1], 0, 3),
        ("back_starts do not rise", given.moves.back[0], 1, -1),
    ):
        before, part[place] = part[place], value
        with pytest.raises(RecellError, match=line):
            crf.crf_loss(given)
        part[place] = before
    wrong = {"dtype 2": {"dtype": 2}, "tags 0": {"steps": 1}, "is NULL": {"steps": 1, "tags": 1, "rows": 1}}
    for line, fields in wrong.items():
        for run in (load().rc_crf_loss, load().rc_crf_gradient):
            with pytest.raises(RecellError, match=line):
                check(run(ctypes.byref(crf.CrfArguments(**fields))))
            with pytest.raises(RecellError, match="call is NULL"):
                check(run(None))
