from __future__ import annotations

import numpy as np
import pytest

from recell.decoding import Sampling, sample
from recell.errors import RecellError

LOGITS = np.log(np.array([0.5, 0.05, 0.2, 0.15, 0.1]))


def frequencies(sampling: Sampling, draws: int = 20_000) -> np.ndarray:
    generator = np.random.default_rng(5)
    return np.bincount([sampling.choose(LOGITS, generator) for _ in range(draws)], minlength=5) / draws


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.5, 0.05, 0.2, 0.15, 0.1]),
        (Sampling(temperature=0.5), np.square([0.5, 0.05, 0.2, 0.15, 0.1]) / 0.325),
        (Sampling(top_k=2), [5 / 7, 0, 2 / 7, 0, 0]),
        (Sampling(top_k=99), [0.5, 0.05, 0.2, 0.15, 0.1]),
        (Sampling(top_p=0.75), [0.5 / 0.85, 0, 0.2 / 0.85, 0.15 / 0.85, 0]),
        (Sampling(top_p=0.4), [1, 0, 0, 0, 0]),
        (Sampling(top_p=1.0), [0.5, 0.05, 0.2, 0.15, 0.1]),
        (Sampling(top_k=3, top_p=0.8), [0.5 / 0.7, 0, 0.2 / 0.7, 0, 0]),
        (Sampling(forbidden=(0, 2)), [0, 1 / 6, 0, 1 / 2, 1 / 3]),
        (Sampling(temperature=0, forbidden=(0,)), [0, 0, 1, 0, 0]),
        (Sampling(temperature=0), [1, 0, 0, 0, 0]),
    ],
)
def test_symbols_are_drawn_with_these_probabilities(sampling: Sampling, expected: np.ndarray) -> None:
    np.testing.assert_allclose(sampling.probabilities(LOGITS), expected, atol=1e-12)
    np.testing.assert_allclose(frequencies(sampling), expected, atol=0.012)


def test_huge_logits_and_tiny_temperatures_do_not_overflow() -> None:
    logits = np.array([1e4, -1e4, 9999.0], np.float32)
    np.testing.assert_allclose(Sampling(temperature=1e-3).probabilities(logits), [1, 0, 0])


def test_equal_scores_keep_exactly_k() -> None:
    assert np.count_nonzero(Sampling(top_k=3).probabilities(np.zeros(10))) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(RecellError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(RecellError, match="NaN"):
        Sampling().probabilities(np.array([1.0, np.nan]))


class Counter:
    """A model whose best next symbol is the last plus one."""

    def __init__(self) -> None:
        self.fed: list[int] = []

    def __call__(self, symbol: int) -> np.ndarray:
        self.fed.append(symbol)
        logits = np.zeros(10)
        logits[(symbol + 1) % 10] = 3
        return logits


def test_the_prompt_is_fed_first_and_each_symbol_once() -> None:
    model = Counter()
    assert list(sample(model, [2, 5], 4, sampling=Sampling(temperature=0))) == [6, 7, 8, 9]
    assert model.fed == [2, 5, 6, 7, 8]


def test_a_stop_symbol_ends_the_sequence() -> None:
    assert list(sample(Counter(), [1], 9, sampling=Sampling(temperature=0), stop=[4])) == [2, 3]


def test_symbols_come_as_soon_as_they_are_drawn() -> None:
    model = Counter()
    symbols = sample(model, [0], 10**9)
    next(symbols), next(symbols)
    assert len(model.fed) == 2


def test_the_same_seed_draws_the_same() -> None:
    one, two, three = (list(sample(Counter(), [0], 30, seed=seed)) for seed in (7, 7, 8))
    assert one == two != three


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(RecellError, match="first symbol"):
        next(sample(Counter(), [], 3))


def test_a_temperature_near_zero_takes_the_best() -> None:
    generator = np.random.default_rng(0)
    assert Sampling(temperature=1e-320).choose(np.array([0.0, 2.0, 1.0]), generator) == 1


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(RecellError, match="are not numbers"):
        Sampling().choose(np.array([0.0, np.inf]), np.random.default_rng(0))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_is_drawn_where_all_is_forbidden(temperature: float) -> None:
    with pytest.raises(RecellError, match="no symbol that may be drawn"):
        Sampling(temperature, forbidden=(0, 1)).choose(np.array([0.0, 1.0]), np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong", [{"temperature": "hot"}, {"temperature": None}, {"top_k": 1.5}, {"top_k": True}, {"top_p": "all"}], ids=str
)
def test_what_is_no_number_is_one_line(wrong) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(RecellError, match=f"{name} is a.* number; came {value!r}; write {name}="):
        Sampling(**wrong)
