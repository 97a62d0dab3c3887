"""Beam search: the most probable sequences that a model writes symbol by symbol, each until it ends itself.

NumPy only; the model is a function. Of every example, ``width`` hypotheses are kept; one that draws ``end`` has its place in the
beam for good (Sutskever et al. 2014), so that a beam of 1 is greedy decoding, and one wide enough to prune nothing is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from recell.errors import RecellError, ShapeError, message, whole

S = TypeVar("S")
Step = Callable[[NDArray[np.int64], S], tuple[Any, S]]
Select = Callable[[S, NDArray[np.int64]], S]


@dataclass(frozen=True)
class Hypothesis:
    """A sequence without start and end; one that was cut off at the length's limit did not end."""

    tokens: tuple[int, ...]
    log_probability: float  # of all its symbols, the end included where it ended
    score: float  # what hypotheses are ranked by
    ended: bool


@dataclass(frozen=True)
class _Live:
    """A sequence that goes on, and the row of the model's state that stands for it."""

    example: int
    tokens: tuple[int, ...]
    log_probability: float
    row: int


def beam_search(step: Step[S], state: S, *, start: int, end: int, width: int, length: int, rows: int = 1,
                length_penalty: float = 0.0, forbidden: Collection[int] = (),
                select: Select[S] | None = None) -> list[list[Hypothesis]]:
    """The best hypotheses of each of ``rows`` examples, best first: up to ``width``, those that ended before those cut off.

    ``step(tokens (n,), state) -> (log-probabilities (n, symbols), state)`` feeds a symbol to each of n rows; the first call
    feeds ``start`` to the ``rows`` rows of ``state``. ``select(state, rows (n,))`` gives the state of the rows named, in that
    order and some more than once; without it, mappings and tuples of arrays are indexed in their first axis. A sequence has at
    most ``length`` symbols, the end included. Hypotheses are ranked by log p / (number of symbols, with the end)
    ** ``length_penalty``: 0 ranks by probability, 1 by the mean. Raises RecellError, ShapeError.

    >>> table = np.log([[0.1, 0.6, 0.3], [0.1, 0.3, 0.6], [1.0, 1.0, 1.0]])
    >>> [found] = beam_search(lambda tokens, state: (table[tokens], state), (), start=0, end=2, width=2, length=4)
    >>> [hypothesis.tokens for hypothesis in found]
    [(1,), ()]
    """
    _check(width, length, length_penalty)
    choose = select or select_rows
    ended: list[list[Hypothesis]] = [[] for _ in range(rows)]
    live = [_Live(example, (), 0.0, example) for example in range(rows)]
    tokens = np.full(rows, start, np.int64)
    for taken in range(1, length + 1):
        scores, state = step(tokens, state)
        grown = _grown(live, _checked(scores, len(live), forbidden), end, [width - len(found) for found in ended])
        live = []
        for one, symbol in grown:
            if symbol == end:
                ended[one.example].append(_hypothesis(one, taken, length_penalty, ended=True))
            else:
                live.append(_Live(one.example, (*one.tokens, symbol), one.log_probability, one.row))
        if not live:
            break
        tokens = np.array([one.tokens[-1] for one in live], np.int64)
        state = choose(state, np.array([one.row for one in live], np.int64))
        live = [_Live(one.example, one.tokens, one.log_probability, row) for row, one in enumerate(live)]
    for one in live:
        ended[one.example].append(_hypothesis(one, length, length_penalty, ended=False))
    return [sorted(found, key=lambda one: (not one.ended, -one.score)) for found in ended]


def select_rows(state: Any, rows: NDArray[np.int64]) -> Any:
    """The rows named of an array, or of all arrays of a mapping, tuple or list: their first axis."""
    if isinstance(state, Mapping):
        return {name: select_rows(part, rows) for name, part in cast(Mapping[Any, Any], state).items()}
    if isinstance(state, (tuple, list)):
        return tuple(select_rows(part, rows) for part in cast(tuple[Any, ...], state))
    return state[rows]


def _grown(live: list[_Live], scores: NDArray[np.float64], end: int, places: list[int]) -> list[tuple[_Live, int]]:
    """Each example's most probable continuations, as many as it has places: the hypothesis with its new probability, and the
    symbol. Of equal ones, the earlier hypothesis and the lower symbol comes first."""
    totals = scores + np.array([one.log_probability for one in live])[:, None]
    grown: list[tuple[_Live, int]] = []
    owners = np.array([one.example for one in live])
    for example in dict.fromkeys(owners.tolist()):
        own = np.flatnonzero(owners == example)
        candidates = totals[own].ravel()
        order = np.argsort(-candidates, kind="stable")[: places[example]]
        for place in order[np.isfinite(candidates[order])].tolist():
            number, symbol = divmod(place, scores.shape[1])
            one = live[own[number]]
            grown.append((_Live(example, one.tokens, float(candidates[place]), one.row), symbol))
    return grown


def _hypothesis(one: _Live, symbols: int, length_penalty: float, *, ended: bool) -> Hypothesis:
    return Hypothesis(one.tokens, one.log_probability, one.log_probability / symbols**length_penalty, ended)


def _checked(scores: Any, rows: int, forbidden: Collection[int]) -> NDArray[np.float64]:
    found = np.array(scores, np.float64)
    if found.ndim != 2 or len(found) != rows:
        raise ShapeError(message(f"step gives log-probabilities ({rows}, symbols)", came=f"the shape {found.shape}"))
    if np.isnan(found).any() or (found > 1e-3).any():
        raise RecellError(message("step gives log-probabilities, at most 0", came=float(found.max()), write="log_softmax"))
    found[:, list(forbidden)] = -np.inf
    return found


def _check(width: object, length: object, length_penalty: object) -> None:
    for name, value in (("width", width), ("length", length)):
        whole(name, value, write=f"{name}=5", error=RecellError)
    if isinstance(length_penalty, bool) or not isinstance(length_penalty, Real) or not 0 <= float(length_penalty) < float("inf"):
        raise RecellError(message("length_penalty is a number from 0", came=repr(length_penalty), write="length_penalty=1.0"))
