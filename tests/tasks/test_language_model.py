"""What a language model learns, how it is measured, and what its training leaves untouched."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recell import cells
from recell.data.batching import IGNORED
from recell.errors import CellError
from recell.language.modifiers.layer_norm import layer_norm
from recell.tasks import LanguageModel
from recell.tasks._layers import Layers
from recell.tasks.language_model import Network
from recell.training import optimizers
from tests.tasks.helper import same, weights


def test_it_learns_what_can_be_known(corpus: Path, small: dict[str, Any]) -> None:
    options = {**small, "hidden_size": 32, "steps": 250, "learning_rate": 1e-2, "patience": 50}
    model = LanguageModel(**options).fit(corpus, progress=False)
    figures = model.evaluate(corpus)
    assert figures["nats_per_token"] < 0.15
    assert figures["bits_per_token"] == pytest.approx(figures["nats_per_token"] / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_token"]))
    assert figures["tokens"] == len(corpus.read_text()) and figures["unknown_tokens"] == 0
    assert model.runtime().generate("the cat", 20, temperature=0) == " sat on the mat, and"


def test_evaluation_is_the_sum_over_every_character_in_one_stream(fitted: LanguageModel) -> None:
    """Against a loop of single steps, whatever the window; unknown characters count as one entry."""
    text = "the dog sat on a rug. ?"
    model = fitted.runtime()
    session, previous, total = model.session(), 2, 0.0
    for number in model.vocabulary.encode(text):
        logits = session.step([previous])[0].astype(np.float64)
        total -= logits[number] - np.log(np.exp(logits).sum())
        previous = number
    figures = fitted.evaluate([text])
    assert figures["nats_per_token"] == pytest.approx(total / len(text), rel=1e-5)
    unknown = sum(character not in model.vocabulary for character in text)
    assert figures["tokens"] == len(text) and figures["unknown_tokens"] == unknown > 0


@pytest.mark.parametrize("name", ["LSTM", "Jordan"])
def test_the_loss_is_the_cross_entropy_of_the_logits(name: str) -> None:
    """Whether the cell brings its output layer or not; targets of padding do not count, and the state goes on."""
    network = Network(cells.get(name), 11, Layers(7), embedding_size=5).double()
    tokens, targets = torch.randint(0, 11, (6, 3)), torch.randint(0, 11, (6, 3))
    targets[4:, 1] = IGNORED
    _, state = network(tokens)
    logits, after = network(tokens, state)
    for reduction in ("mean", "none"):
        loss, moved = network.loss(tokens, targets, state, reduction=reduction)
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(moved, after)
        found = torch.autograd.grad(loss.sum(), list(network.parameters()))
        torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), list(network.parameters()), retain_graph=True))


def test_chinese_by_characters_and_by_words(small: dict[str, Any]) -> None:
    text = "我爱你。你爱我吗?我们说中文。" * 40
    for level in ("characters", "words"):
        model = LanguageModel(**small, level=level).fit([text], progress=False)
        assert model.evaluate([text])["tokens"] == len(text)
        written = model.runtime().generate("我", 25, seed=1)
        assert len(written) >= 25 and set(written.replace(" ", "")) <= set(text)


def test_rare_words_are_unknown_and_counted(small: dict[str, Any]) -> None:
    text = "a b a b a b c d. " * 60 + "rare"
    model = LanguageModel(**small, level="words", minimum_count=2, validation_fraction=0.0)
    model.fit([text], progress=False)
    assert "rare" not in model.vocabulary_
    assert model.evaluate(["a rare b odd"])["unknown_tokens"] == 2


def test_a_seed_trains_the_same_and_leaves_the_callers_random_numbers(corpus: Path, small: dict[str, Any]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    one = LanguageModel(**small, dropout=0.3).fit(corpus, progress=False)
    assert torch.equal(torch.rand(3), expected)
    two = LanguageModel(**small, dropout=0.3).fit(corpus, progress=False)
    other = LanguageModel(**small, dropout=0.3, seed=1).fit(corpus, progress=False)
    assert same(weights(one), weights(two)) and not same(weights(one), weights(other))


def test_threads_are_set_for_the_training_and_put_back(corpus: Path, small: dict[str, Any], monkeypatch) -> None:
    before, seen = torch.get_num_threads(), []
    real = optimizers.clip
    monkeypatch.setattr(optimizers, "clip", lambda *a: (seen.append(torch.get_num_threads()), real(*a))[1])
    LanguageModel(**small).fit(corpus, progress=False)
    assert set(seen) == {1} and torch.get_num_threads() == before


def test_modifiers_train_are_saved_and_generate(small: dict[str, Any], corpus: Path, tmp_path: Path) -> None:
    model = LanguageModel(**small, modifiers=["layer_norm", "zoneout(h=0.1)"]).fit(corpus, progress=False)
    assert any("layer_norm" in name or "gain" in name for name in model.network_.state_dict())
    model.save(tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    assert again.modifiers == ["layer_norm", "zoneout(h=0.1)"] and again.evaluate(corpus) == model.evaluate(corpus)
    assert again.generate("the ", 20, seed=3) == model.generate("the ", 20, seed=3)
    tokens = torch.from_numpy(model.vocabulary_.encode("the cat"))[:, None]
    with torch.no_grad():
        scores = model.network_.eval()(tokens)[0][-1, 0]
    assert model.predict(["the cat"]) == [model.vocabulary_.decode([int(scores.argmax())])]
    with pytest.raises(CellError, match="written as its call"):
        LanguageModel(**small, modifiers=[layer_norm()]).fit(corpus, progress=False)  # pyright: ignore[reportArgumentType]


def test_scikit_learn_searches_over_texts(small: dict[str, Any]) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    texts = ["the cat sat on the mat, and the dog sat on the log. "] * 30
    options = {**small, "validation_fraction": 0}
    search = selection.GridSearchCV(LanguageModel(**options), {"hidden_size": [4, 9]}, cv=2, error_score="raise")
    search.fit(texts, progress=False)
    best = search.best_estimator_
    assert best.score(texts) == -best.evaluate(texts)["nats_per_token"] and search.best_score_ < 0


def test_the_best_weights_on_held_out_text_are_kept(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    options = {
        **small,
        "steps": 40,
        "learning_rate": 0.5,
        "optimizer": "sgd",
        "plan": {"clip": None, "validate_every": 4},
    }
    in_memory = LanguageModel(**options).fit(corpus, progress=False)
    on_disk = LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "m")
    assert same(weights(in_memory), weights(on_disk))
    validations = [record["validation"]["loss"] for record in in_memory.history_ if "validation" in record]
    assert len(validations) == 10
    text = corpus.read_text()
    held_out = text[len(text) - int(len(text) * 0.1) :]
    assert in_memory.evaluate([held_out])["nats_per_token"] == pytest.approx(min(validations), rel=1e-4)


def test_prediction_is_the_most_probable_token(fitted) -> None:
    answers = fitted.predict(["the cat", ""])
    assert [len(answer) for answer in answers] == [1, 1]
    assert answers[0] == fitted.generate("the cat", 1, temperature=0)
