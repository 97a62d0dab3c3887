"""What the examples on real data share, tried without any."""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.examples.helper import EXAMPLES


@pytest.fixture
def on_data(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    yield importlib.import_module("on_data")
    del sys.modules["on_data"]


def test_counts_are_options_with_their_defaults(on_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example.py", "--data", "somewhere", "--first-seed", "7"])
    found = on_data.arguments_of(on_data.data_parser("An example.", "music", seeds=3, first_seed=0))
    assert vars(found) == {"data": Path("somewhere"), "seeds": 3, "first_seed": 7}


def test_the_arguments_of_examples_on_digits(on_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example.py", "--data", "somewhere", "--images", "30", "--epochs", "2"])
    found = vars(on_data.digit_arguments("An example.", epochs=8))
    assert found == {"data": Path("somewhere"), "seeds": 3, "first_seed": 0, "epochs": 2, "threads": 2, "images": 30}


def test_each_seed_is_trained_and_measured(on_data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Guess:
        def __init__(self, *, epochs: int, seed: int, threads: int) -> None:
            self.made = (epochs, seed, threads)

        def fit(self, x: list[int], y: list[int], *, progress: bool) -> Guess:
            assert (x, y, progress) == ([1, 2], [3, 4], False)
            return self

        def evaluate(self, x: list[int], y: list[int]) -> dict[str, float]:
            assert (x, y) == ([5], [6])
            return {"loss": 0.5, "exact_match": 0.5 + self.made[1] / 10}

    arguments = argparse.Namespace(first_seed=2, seeds=2, epochs=7, threads=1)
    last = on_data.each_seed(Guess, arguments, ([1, 2], [3, 4]), ([5], [6]), "exact_match")
    assert last.made == (7, 3, 1)
    first, second, _, mean = capsys.readouterr().out.splitlines()
    assert first.startswith("seed 2: loss 0.5000  exact_match 0.7000  ")
    assert second.startswith("seed 3: loss 0.5000  exact_match 0.8000  ")
    assert mean == "test exact match, %: mean 75.00, spread 7.07"
    arguments.seeds = 0
    assert on_data.each_seed(Guess, arguments, ([1, 2], [3, 4]), ([5], [6]), "exact_match") is None


def test_the_spread_is_the_sample_deviation(on_data: Any) -> None:
    assert on_data.spread([1.0, 2.0, 4.5]) == pytest.approx(statistics.stdev([1.0, 2.0, 4.5]))
    np.testing.assert_allclose(on_data.spread([[1, 5], [2, 5], [3, 8]]), [1, 3**0.5])
    assert np.isnan(on_data.spread([7.0])) and np.isnan(on_data.spread([[7.0, 1.0]])).all()


def test_the_environment_names_the_data_and_without_it_the_program_ends(
    on_data: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["example.py"])
    with pytest.raises(SystemExit) as left:
        on_data.arguments_of(on_data.data_parser("An example.", "music"))
    assert left.value.code == 2 and "name the data's folder" in capsys.readouterr().err
    monkeypatch.setenv("RECELL_DATA", "elsewhere")
    assert on_data.arguments_of(on_data.data_parser("An example.", "music")).data == Path("elsewhere")
