from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from recell.data.vocabulary import Vocabulary
from recell.data.witten_bell import WittenBell
from recell.errors import DataError


def by_the_formula(train: list[int], order: int, size: int, history: list[int], symbol: int) -> float:
    """The definition, recursion and all, counted afresh each time."""
    if order == 0:
        return 1 / size
    lower = by_the_formula(train, order - 1, size, history[1:], symbol)
    if len(history) < order - 1:
        return lower
    followers = Counter(
        train[i] for i in range(order - 1, len(train)) if train[i - order + 1 : i] == history[len(history) - order + 1 :]
    )
    if not followers:
        return lower
    return (followers[symbol] + len(followers) * lower) / (followers.total() + len(followers))


def test_every_probability_follows_the_formula() -> None:
    generator = np.random.default_rng(0)
    size, order = 5, 4
    train = generator.integers(0, 4, 60)  # symbol 4 is never seen
    held_out = generator.integers(0, 5, 50)
    got = WittenBell(order, size).fit(train).probabilities(held_out)
    for i, symbol in enumerate(held_out):
        history = list(held_out[max(0, i - order + 1) : i])
        usable = min(order, len(history) + 1)
        expected = by_the_formula(list(train), usable, size, history, symbol)
        assert got[i] == pytest.approx(expected, rel=1e-12)


def test_probabilities_after_any_history_sum_to_one() -> None:
    generator = np.random.default_rng(1)
    model = WittenBell(3, 6).fit(generator.integers(0, 6, 80))
    for history in generator.integers(0, 6, (20, 4)):
        total = sum(model.probabilities(np.append(history, symbol))[-1] for symbol in range(6))
        assert total == pytest.approx(1, rel=1e-12)


def test_large_vocabularies_do_not_overflow() -> None:
    numbers = np.array([3, 4_000_000, 3, 4_000_000, 3, 4_000_000, 7])
    model = WittenBell(5, 4_000_001).fit(numbers)
    assert (model.probabilities(numbers) > 1e-8).all()


def test_it_refuses_to_answer_before_it_counted() -> None:
    with pytest.raises(DataError, match="fit"):
        WittenBell(2, 3).nats(np.array([1]))
    with pytest.raises(DataError, match="count from 1"):
        WittenBell(0, 3)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the figure is that of Python 3.11's language reference")
def test_the_language_reference_has_1_320_nats() -> None:
    from pydoc_data.topics import topics

    text = "".join(topics.values())
    cut = len(text) * 9 // 10
    vocabulary = Vocabulary.of_text(text[:cut])
    model = WittenBell(5, len(vocabulary)).fit(vocabulary.encode(text[:cut]))
    assert model.nats(vocabulary.encode(text[cut:])) == pytest.approx(1.320, abs=5e-4)
