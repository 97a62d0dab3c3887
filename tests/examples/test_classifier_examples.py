"""Short runs of the classifier's examples, on slices of the real data."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.examples.helper import data, ran


@pytest.mark.slow
def test_sentiment_prints_a_row_of_each_kind() -> None:
    shown = ran("sentiment.py", "--data", data(), "--seeds", 1, "--folds", 2, "--epochs", 1, "--sentences", 60, "--threads", 1)
    rows = re.findall(r"^(naive Bayes|recell|both) +([\d.]+) +nan$", shown, re.MULTILINE)
    assert [name for name, _ in rows] == ["naive Bayes", "recell", "both"] and all(30 <= float(mean) <= 100 for _, mean in rows)


@pytest.mark.slow
def test_series_prints_a_row_for_each_set() -> None:
    shown = ran("series.py", "--data", data(), "--seeds", 1, "--steps", 3, "--threads", 1)
    rows = {name: float(naive) for name, naive in re.findall(r"^(\w+) .* ([\d.]+) +\d+$", shown, re.MULTILINE)}
    assert rows == {"JapaneseVowels": pytest.approx(94.6, abs=0.1), "BasicMotions": pytest.approx(92.5, abs=0.1)}


@pytest.mark.slow
def test_mnist_prints_a_report() -> None:
    shown = ran("mnist_rows.py", "--data", data(), "--seeds", 1, "--epochs", 1, "--images", 300, "--threads", 1)
    assert "300 images" in shown and "seed 0: loss" in shown and "true \\ said" in shown


def test_the_sentence_that_is_read_is_not_learnt_from() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "intent.py"))
    texts, intents = script["spoken"](0, without="What time is it ?")
    assert len(texts) == len(intents) == 1500 and not {"what time is it", "what time is it ?"} & set(texts)
    assert any(text.startswith("what time is it in") for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_an_intents_probabilities_grow_word_by_word(real: bool) -> None:
    extra = ["--data", data(), "--sentences", 300] if real else []
    shown = ran("intent.py", "--epochs", 1, "--threads", 1, *extra)
    rows = re.findall(r"^(\S+) +((?:[\d.]+ *)+)$", shown, re.MULTILINE)
    assert [word for word, _ in rows] == ["what", "time", "is", "it", "?"]
    for _, figures in rows:
        assert sum(map(float, figures.split())) == pytest.approx(1, abs=0.06)
