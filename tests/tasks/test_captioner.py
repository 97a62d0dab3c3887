"""The captioner on vectors and images whose captions a rule makes; decoding against the network's own probabilities."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell import cells
from recell.data.vocabulary import END, PADDING, SPECIAL, START, UNKNOWN
from recell.decoding import edit_distance
from recell.errors import DataError, ModelError, RecellError
from recell.tasks import Captioner

SMALL: dict[str, Any] = {"cell": "GRU", "hidden_size": 24, "code_size": 16, "embedding_size": 8, "dropout": 0.0, "batch_size": 16,
                         "epochs": 25, "learning_rate": 0.02, "threads": 1}  # fmt: skip
WORDS = ("low", "mid", "highest")


def vectors(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Which of three values is the greatest, and how it is called; scales far apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    x[np.arange(count), rng.integers(3, size=count)] += 3
    return x * [1e3, 1, 1e-2] + [5e4, 0, 1], [WORDS[place] for place in x.argmax(1)]


def images(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """A bar that lies or stands."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 60, (count, 7, 5)).astype(np.uint8), list[str]()
    for image in x:
        lying, place = bool(rng.integers(2)), rng.integers(5)
        image[place if lying else slice(None), slice(None) if lying else place] = 250
        y.append("lies" if lying else "stands up")
    return x, y


@pytest.fixture(scope="module")
def fitted() -> Captioner:
    return Captioner(**SMALL).fit(*vectors(240), progress=False)


def log_probability(task: Captioner, value: np.ndarray, text: str, *, written: bool = False) -> float:
    """Of a whole caption with its end, one step after the other; `written`: among what may be written."""
    network, codec = task._decoder()
    network.eval()
    with torch.no_grad():
        scaled = torch.from_numpy(((value - codec.mean) / codec.deviation).astype(np.float32)[None])
        memory, before, total = network.begin(scaled), START, 0.0
        for symbol in [*codec.vocabulary.encode(text).tolist(), END]:
            scores, memory = network.step(torch.tensor([before]), memory)
            may = [END] * (before != START) + list(range(len(SPECIAL), scores.shape[1]))
            among = float(scores[0, may].logsumexp(0)) if written else 0.0
            total, before = total + float(scores[0, symbol]) - among, symbol
    return total


def test_it_learns_names(fitted: Captioner) -> None:
    x, y = vectors(80, seed=1)
    figures = fitted.evaluate(x, y)
    assert set(figures) == {"loss", "exact_match", "character_error_rate"} and figures["exact_match"] > 0.93
    answers = fitted.predict(x)
    assert np.mean([a == b for a, b in zip(answers, y, strict=True)]) == figures["exact_match"]
    edits = sum(edit_distance(a, b) for a, b in zip(answers, y, strict=True))
    assert figures["character_error_rate"] == pytest.approx(edits / sum(map(len, y)))
    assert fitted.score(x, y) == -figures["loss"]


def test_the_loss_is_the_probability_of_the_captions_symbol_by_symbol(fitted: Captioner) -> None:
    x, y = vectors(9, seed=2)
    total = sum(log_probability(fitted, value, text) for value, text in zip(x, y, strict=True))
    assert fitted.evaluate(x, y)["loss"] == pytest.approx(-total / sum(len(text) + 1 for text in y), rel=1e-4)


def test_beams_are_the_best_of_all_captions() -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 2)), ["ab", "b", "ba"]
    texts = [y[n % 3] for n in range(40)]
    task = Captioner(**{**SMALL, "epochs": 2, "max_length": 4}).fit(x, texts, progress=False)
    every = ["".join(letters) for count in range(1, 4) for letters in itertools.product("ab", repeat=count)]
    for value, found in zip(x[:4], task.beams(x[:4], width=60, length_penalty=0.6), strict=True):
        prices = {text: log_probability(task, value, text, written=True) for text in every}
        ranked = sorted(prices, key=lambda text: -prices[text] / (len(text) + 1) ** 0.6)
        assert [text for text, _ in found[: len(ranked)]] == ranked and all(text for text, _ in found)
        np.testing.assert_allclose([price for _, price in found[: len(ranked)]], [prices[text] for text in ranked], rtol=1e-4)
    searching = Captioner(**{**SMALL, "epochs": 2, "max_length": 4, "beam_width": 60}).fit(x, texts, progress=False)
    assert searching.predict(x[:9]) == [found[0][0] for found in task.beams(x[:9], width=60)]
    assert task.predict(x) == [found[0][0] for found in task.beams(x, width=1)] == task.generate(x, temperature=0)


def test_captions_are_drawn_with_their_probabilities() -> None:
    x, y = vectors(60)
    task = Captioner(**{**SMALL, "epochs": 3}).fit(x, y, progress=False)
    assert task.generate(x, seed=3) == task.generate(x, seed=3)
    with pytest.raises(DataError, match="seed is a whole number from 0"):
        task.generate(x, seed=-1)
    assert task.generate(x[:9], top_k=1, seed=1) == task.predict(x[:9])
    drawn = task.generate(np.repeat(x[:1], 600, 0), seed=0)
    for text in sorted(set(drawn), key=drawn.count)[-3:]:
        expected = math.exp(log_probability(task, x[0], text, written=True))
        assert drawn.count(text) / 600 == pytest.approx(expected, abs=4 * math.sqrt(expected / 600))


@pytest.fixture(scope="module")
def tempted() -> Captioner:
    """A captioner that would rather say padding, unknown, start or nothing at all than one of its two letters."""
    texts = ["ab", "b", "ba", "abac"]  # the c is rare, and so unknown
    x = np.random.default_rng(0).normal(size=(40, 2))
    options = {**SMALL, "epochs": 2, "max_length": 4, "minimum_count": 20, "validation_fraction": 0.0}
    task = Captioner(**options).fit(x, [texts[n % 4] for n in range(40)], progress=False)
    with torch.no_grad():
        task.network_.output.bias[[PADDING, UNKNOWN, START]] += 9.0
        task.network_.output.bias[END] += 3.0
    return task


ASKED = np.random.default_rng(5).normal(size=(12, 2))
WRITERS: dict[str, Any] = {
    "greedy": lambda task: task.predict(ASKED),
    "drawn": lambda task: task.generate(np.repeat(ASKED, 20, 0), seed=0),
    "beams": lambda task: [text for row in task.beams(ASKED, width=7) for text, _ in row],
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whatever_writes_never_writes_unknown_or_nothing(tempted: Captioner, writer: str) -> None:
    found = WRITERS[writer](tempted)
    assert found and all(text and set(text) <= {"a", "b"} for text in found)


def test_greedy_drawn_and_beams_choose_by_the_same_probabilities(tempted: Captioner) -> None:
    greedy = tempted.predict(ASKED)
    assert greedy == [row[0][0] for row in tempted.beams(ASKED, width=1)] == tempted.generate(ASKED, temperature=0)
    every = ["".join(letters) for count in range(1, 5) for letters in itertools.product("ab", repeat=count)]
    drawn = tempted.generate(np.repeat(ASKED[:1], 600, 0), seed=1)
    [found] = tempted.beams(ASKED[:1], width=len(every))
    assert sorted(text for text, _ in found) == sorted(every)
    assert sum(math.exp(price) for _, price in found) == pytest.approx(1.0, rel=1e-4)  # all that can be written, once
    for text, price in found[:4]:
        assert drawn.count(text) / 600 == pytest.approx(math.exp(price), abs=4 * math.sqrt(math.exp(price) / 600))


@pytest.mark.parametrize("encoder", ["auto", "linear", "convolutions", "rows"])
def test_images_by_every_encoder(encoder: str) -> None:
    task = Captioner(**{**SMALL, "epochs": 12}, encoder=encoder).fit(*images(160), progress=False)
    assert task.evaluate(*images(60, seed=1))["exact_match"] > 0.93


@pytest.mark.parametrize("feed", ["state", "input"])
def test_the_code_reaches_the_decoder_by_each_way_alone(feed: str) -> None:
    task = Captioner(**SMALL, feed=feed, num_layers=2).fit(*vectors(200), progress=False)
    assert task.evaluate(*vectors(60, seed=1))["exact_match"] > 0.9


@pytest.mark.parametrize("name", cells.names())  # at the width of the decoder's input, which some cells need
def test_every_cell_writes(name: str) -> None:
    needs: dict[str, Any] = {"sizes": {"projection": 7}} if name == "ProjectedLSTM" else {}
    options = {**SMALL, "cell": name, "epochs": 2, "hidden_size": 24, "learning_rate": 0.005, "validation_fraction": 0.0, **needs}
    x, y = vectors(40)
    task = Captioner(**options).fit(x, y, progress=False)
    figures = task.evaluate(x, y)
    assert math.isfinite(figures["loss"]) and 0 <= figures["character_error_rate"]
    total = sum(log_probability(task, value, text) for value, text in zip(x[:5], y[:5], strict=True))
    assert task.evaluate(x[:5], y[:5])["loss"] == pytest.approx(-total / sum(len(text) + 1 for text in y[:5]), rel=1e-3)


def test_words_that_training_never_saw_are_no_match() -> None:
    x, y = vectors(200)
    spoken = {"low": "it is low", "mid": "in between", "highest": "it is the highest"}
    task = Captioner(**SMALL, level="words").fit(x, [spoken[text] for text in y], progress=False)
    fresh, truth = vectors(40, seed=1)
    figures = task.evaluate(fresh, [spoken[text] for text in truth])
    assert figures["exact_match"] > 0.9 and "word_error_rate" in figures
    assert set(task.predict(fresh)) == set(spoken.values())
    assert task.evaluate(fresh[:2], ["unheard of", "nothing"])["exact_match"] == 0


def test_a_caption_that_does_not_end_is_cut_off() -> None:
    x, y = vectors(30)
    task = Captioner(**{**SMALL, "epochs": 1, "max_length": 2}).fit(x, y, progress=False)
    assert all(len(text) <= 2 for text in (*task.predict(x), *task.generate(x, seed=0)))


def test_saved_and_loaded_it_says_the_same(fitted: Captioner, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    again = recell.load(tmp_path / "model")
    x, y = vectors(30, seed=4)
    assert again.evaluate(x, y) == fitted.evaluate(x, y) and again.generate(x, seed=1) == fitted.generate(x, seed=1)
    whole = json.loads((tmp_path / "model" / "config.json").read_text())
    nothing = {"vocabulary": whole["codec"]["vocabulary"] | {"symbols": []}}
    for damage in ({"mean": [1.0]}, {"shape": "3"}, {"shape": [0, 3]}, {"longest": None}, {"vocabulary": 3}, nothing):
        config = whole | {"codec": whole["codec"] | damage}
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError):
            recell.load(tmp_path / "model")


def test_the_same_seed_trains_the_same() -> None:
    options = {**SMALL, "epochs": 2, "dropout": 0.2}
    tasks = [Captioner(**options, seed=seed).fit(*vectors(40), progress=False) for seed in (1, 1, 2)]
    weights = [list(task.network_.parameters()) for task in tasks]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from recell.cli.run import run

    x, y = vectors(60)
    path, model = tmp_path / "captions.jsonl", tmp_path / "model"
    rows = [json.dumps({"vector": value.tolist(), "text": text}) for value, text in zip(x, y, strict=True)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert run(["train", "captioner", str(path), "--out", str(model), "--epochs", "2", "--hidden-size", "8", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(model), str(path), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"loss", "exact_match", "character_error_rate"}
    assert run(["predict", str(model), str(path), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 60
    assert run(["evaluate", str(model), str(path)]) == 0
    wrong = re.findall(r"^(low|mid|highest) .* (\d+)$", capsys.readouterr().out, re.MULTILINE)
    assert wrong and sum(int(times) for _, times in wrong) <= 60


def test_a_file_in_a_stream(tmp_path: Path) -> None:
    x, y = vectors(80)
    path = tmp_path / "captions.jsonl"
    rows = [json.dumps({"vector": value.tolist(), "text": text}) for value, text in zip(x, y, strict=True)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    task = Captioner(**SMALL, stream=True, validation_fraction=0.0).fit(path, progress=False)
    assert task.evaluate(path)["exact_match"] > 0.95
    with pytest.raises(RecellError, match="held out by a file of its own"):
        Captioner(**SMALL, stream=True).fit(path, progress=False)


def test_it_is_an_estimator_for_searches() -> None:
    from sklearn.model_selection import GridSearchCV

    options = {**SMALL, "epochs": 4, "validation_fraction": 0.0}
    x, y = vectors(60)
    search = GridSearchCV(Captioner(**options), {"learning_rate": [1e-5, 0.02]}, cv=2)
    search.fit(list(x), y, progress=False)
    assert search.best_params_ == {"learning_rate": 0.02}


@pytest.mark.parametrize(
    ("data", "captions", "said"),
    [
        ([np.zeros(3), np.zeros(2)], ["a", "b"], r"example 2 is unlike the others; came the shape \(2,\)"),
        ([np.zeros(3), np.full(3, np.nan)], ["a", "b"], "example 2 has a value that is no number"),
        ([np.zeros(3), np.zeros(3)], ["a", ""], "example 2 has no caption"),
        ([np.zeros((1, 2, 3))], ["a"], "example 1 is neither a vector"),
        ([np.zeros(3), np.zeros(3)], ["a", "b"], "no symbol of the captions occurs 2 times"),
        ([], [], "came no example"),
    ],
)
def test_bad_data_is_refused(data: Any, captions: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Captioner(**SMALL, validation_fraction=0.0, minimum_count=2).fit(data, captions, progress=False)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"encoder": "columns"}, "no encoder of this name"),
        ({"encoder": "convolutions"}, "encoder 'convolutions' reads images; came vectors"),
        ({"feed": "all"}, "no feed of this name"),
        ({"level": "letters"}, "level is 'letters'"),
        ({"beam_width": 0}, "beam_width is a whole number from 1"),
        ({"names": "zero"}, "names is a list of captions by number"),
        ({"cell": "Jordan", "num_layers": 2}, "Jordan brings its own output layer"),
    ],
)
def test_bad_options_are_refused(option: dict[str, Any], said: str) -> None:
    with pytest.raises(RecellError, match=said):
        Captioner(**{**SMALL, **option}).fit(*vectors(20), progress=False)
