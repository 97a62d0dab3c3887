"""Beam search against every sequence there is, on vocabularies of a few symbols."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from recell.decoding import beam_search
from recell.errors import RecellError, ShapeError

START, END, SYMBOLS = 0, 1, 4


class Model:
    """Probabilities that depend on the whole past: the state is a small recurrent network's, in NumPy."""

    def __init__(self, seed: int, rows: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.embedding, self.recurrent = rng.normal(size=(SYMBOLS, 5)), rng.normal(size=(5, 5))
        self.output, self.first = 2 * rng.normal(size=(5, SYMBOLS)), rng.normal(size=(rows, 5))

    def step(self, tokens: np.ndarray, state: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        h = np.tanh(self.embedding[tokens] + state["h"] @ self.recurrent)
        logits = h @ self.output
        return logits - np.logaddexp.reduce(logits, 1, keepdims=True), {"h": h}

    def log_probability(self, row: int, symbols: tuple[int, ...]) -> float:
        state, before, total = {"h": self.first[row : row + 1]}, START, 0.0
        for symbol in symbols:
            scores, state = self.step(np.array([before]), state)
            total, before = total + float(scores[0, symbol]), symbol
        return total

    def search(self, **options: Any) -> list[Any]:
        return beam_search(self.step, {"h": self.first}, start=START, end=END, rows=len(self.first), forbidden=[START], **options)


def every(length: int) -> list[tuple[int, ...]]:
    """All sequences that end within `length` symbols, without their end."""
    return [row for count in range(length) for row in itertools.product(range(2, SYMBOLS), repeat=count)]


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best_of_all(length_penalty: float) -> None:
    for seed in range(5):
        model = Model(seed, rows=3)
        for row, found in enumerate(model.search(width=100, length=5, length_penalty=length_penalty)):
            prices = {tokens: model.log_probability(row, (*tokens, END)) for tokens in every(5)}
            ranked = sorted(prices, key=lambda tokens: -prices[tokens] / (len(tokens) + 1) ** length_penalty)
            ended = [one for one in found if one.ended]
            assert [one.tokens for one in ended] == ranked
            np.testing.assert_allclose([one.log_probability for one in ended], [prices[one.tokens] for one in ended])
            expected = [prices[tokens] / (len(tokens) + 1) ** length_penalty for tokens in ranked]
            np.testing.assert_allclose([one.score for one in ended], expected)
            assert {one.tokens for one in found if not one.ended} == set(itertools.product(range(2, SYMBOLS), repeat=5))


def test_a_beam_of_one_is_greedy() -> None:
    for seed in range(10):
        model = Model(seed)
        state, tokens, greedy = {"h": model.first}, np.array([START]), []
        while len(greedy) < 8 and tokens[0] != END:
            scores, state = model.step(tokens, state)
            scores[:, START] = -np.inf
            tokens = scores.argmax(1)
            greedy.append(int(tokens[0]))
        [[found]] = model.search(width=1, length=8)
        assert (*found.tokens, *([END] if found.ended else [])) == tuple(greedy)


def test_each_example_is_searched_by_itself() -> None:
    model = Model(3, rows=4)
    together = model.search(width=3, length=6, length_penalty=0.5)
    for row, found in enumerate(together):
        alone = Model(3, rows=4)
        alone.first = model.first[row : row + 1]
        [expected] = alone.search(width=3, length=6, length_penalty=0.5)
        assert [one.tokens for one in found] == [one.tokens for one in expected] and len(found) == 3
        np.testing.assert_allclose([one.score for one in found], [one.score for one in expected])


def test_a_wider_beam_finds_what_greed_misses() -> None:
    table = np.log([[1e-9, 1e-9, 0.6, 0.4], [0.25] * 4, [1e-9, 0.4, 0.3, 0.3], [1e-9, 0.98, 0.01, 0.01]])

    def searched(width: int) -> tuple[int, ...]:
        [found] = beam_search(lambda tokens, state: (table[tokens], state), (), start=0, end=1, width=width, length=3)
        return found[0].tokens

    assert searched(1) == (2,) and searched(2) == (3,)


def test_what_no_search_can_use_is_refused() -> None:
    model = Model(0)
    with pytest.raises(RecellError, match="width is a whole number from 1; came 0"):
        model.search(width=0, length=3)
    with pytest.raises(RecellError, match="length_penalty is a number from 0; came -1"):
        model.search(width=2, length=3, length_penalty=-1)
    with pytest.raises(ShapeError, match=r"log-probabilities \(1, symbols\)"):
        beam_search(lambda tokens, state: (np.zeros(4), state), (), start=0, end=1, width=2, length=3)
    with pytest.raises(RecellError, match="log_softmax"):
        beam_search(lambda tokens, state: (np.ones((1, 4)), state), (), start=0, end=1, width=2, length=3)
