"""The language model from scratch: its gradients, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recell import by_hand
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random

WORDS, HIDDEN = 11, 6


def sentences(count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = random(0)
    text = [rng.integers(0, WORDS, length) for length in rng.integers(3, 9, count)]
    return [t[:-1] for t in text], [t[1:] for t in text]


def test_full_bptt_is_the_gradient_of_the_loss() -> None:
    model = by_hand.RNNLanguageModel(WORDS, HIDDEN, bptt_truncate=None, seed=1)
    (x, *_), (y, *_) = sentences()
    by_hand.gradient_check(lambda: model.total_loss(x, y), model.parameters, model.bptt(x, y))


def test_truncation_beyond_the_sentence_changes_nothing_and_within_it_does() -> None:
    (x, *_), (y, *_) = sentences()
    full, wide, narrow = (by_hand.RNNLanguageModel(WORDS, HIDDEN, k, seed=1).bptt(x, y)["W"] for k in (None, 50, 0))
    agree(wide, full)
    assert np.abs(narrow - full).max() > 1e-4


def test_an_untrained_model_knows_nothing() -> None:
    model = by_hand.RNNLanguageModel(8000)
    x = random(1).integers(0, 8000, 20)
    assert abs(model.loss(x, x) - math.log(8000)) < 0.1
    y, s = model.forward(x)
    assert y.shape == (20, 8000) and s.shape == (20, 100)
    assert model.predict(x).tolist() == y.argmax(1).tolist()


def test_it_learns_a_rhyme_and_writes_it() -> None:
    rhyme = np.array([0, 3, 1, 4, 1, 5, 2])
    model = by_hand.RNNLanguageModel(WORDS, 20, bptt_truncate=4, seed=0)
    losses = model.train([rhyme[:-1]], [rhyme[1:]], learning_rate=0.1, epochs=400, evaluate_every=100)
    assert losses[0][0] == 0 and losses[-1][1] < 0.05 < losses[0][1]
    assert model.generate([0], length=20, end=2) == rhyme[1:].tolist() == model.generate(0, length=20, end=2)


def test_a_step_moves_against_the_gradient() -> None:
    model = by_hand.RNNLanguageModel(WORDS, HIDDEN)
    (x, *_), (y, *_) = sentences()
    before, gradient = {k: v.copy() for k, v in model.parameters.items()}, model.bptt(x, y)
    model.sgd_step(x, y, 0.01)
    for name in before:
        agree(model.parameters[name], before[name] - 0.01 * gradient[name])


def test_the_loss_of_many_sentences_is_per_word() -> None:
    model = by_hand.RNNLanguageModel(WORDS, HIDDEN)
    x, y = sentences()
    total = sum(model.total_loss(a, b) for a, b in zip(x, y, strict=True))
    agree(model.loss(x, y), total / sum(map(len, x)))


def test_the_same_seed_writes_the_same() -> None:
    first, second = (by_hand.RNNLanguageModel(WORDS, HIDDEN, seed=3).generate([1], length=12) for _ in range(2))
    assert first == second and len(first) == 12


def test_wrong_input_is_one_line() -> None:
    model = by_hand.RNNLanguageModel(WORDS, HIDDEN)
    with pytest.raises(DataError, match="0 to 10"):
        model.loss([11], [0])
    with pytest.raises(ShapeError, match="targets"):
        model.loss([[1, 2]], [[1]])
    with pytest.raises(DataError, match="prompt"):
        model.generate([])
    with pytest.raises(DataError, match="learning_rate"):
        model.train([[1]], [[2]], learning_rate=0)
