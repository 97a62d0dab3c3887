"""What acts between layers is an option of every task, and reaches its network, its folder and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recell import cells, load
from recell.errors import RecellError, ShapeError
from recell.nn import Recurrent
from recell.tasks import Captioner, Classifier, Frames, KeyTerms, LanguageModel, Tagger
from recell.tasks._layers import Layers

TEXTS = ["red cars stop", "dark cars go on", "red ants walk", "dark ants sit down"]
BETWEEN = {"input_dropout": 0.25, "variational": True, "dropout": 0.125}


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 5))


def music() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [(rng.random((length, 7)) < 0.3).astype(float) for length in (5, 3, 6)]


def marked() -> list[list[tuple[int, int, str]]]:
    return [[(0, len(text.split()[0]), "colour")] for text in TEXTS]


DATA: dict[type, tuple[dict[str, Any], Any, Any, Any]] = {  # a task: options, what it learns from, labels, what it is asked
    Tagger: ({"word_size": 6, "character_size": 3}, [t.split() for t in TEXTS], [["B-x"] + ["O"] * t.count(" ") for t in TEXTS],
             [["red", "cars"]]),
    Classifier: ({"embedding_size": 6}, TEXTS, ["a", "b", "a", "b"], ["red ants"]),
    KeyTerms: ({"word_size": 6, "character_size": 0}, TEXTS, marked(), ["red ants"]),
    Captioner: ({"code_size": 4, "embedding_size": 3}, vectors(), ["one", "two", "six"] * 2, vectors()[:2]),
    Frames: ({}, music(), None, music()[:1]),
    LanguageModel: ({"window": 5, "batch_size": 2}, TEXTS * 3, None, ["red"]),
}  # fmt: skip


def trained(task: type, options: dict[str, Any]) -> Any:
    own, data, labels, _ = DATA[task]
    made = task(**{**own, "steps": 2, "cell": "GRU", "validation_fraction": 0.0, "threads": 1, **BETWEEN, **options})
    return made.fit(data, progress=False) if labels is None else made.fit(data, labels, progress=False)


def layers_of(task: Any) -> Recurrent:
    """The network's recurrent layers: not those that spell words."""
    found = [m for name, m in task.network_.named_modules() if isinstance(m, Recurrent) and name.endswith("recurrent")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("connection", ["residual", "highway"])
@pytest.mark.parametrize("task", DATA)
def test_each_task_has_what_acts_between_layers_and_loads_it(task: type, connection: str, tmp_path: Path) -> None:
    model = trained(task, {"hidden_size": 4, "num_layers": 2, connection: True})
    again = load(model.save(tmp_path / "model") and tmp_path / "model")
    for recurrent in (layers_of(model), layers_of(again)):
        assert [recurrent.residual, recurrent.highway] == [connection == "residual", connection == "highway"]
        assert {name: getattr(recurrent, name) for name in BETWEEN} == BETWEEN
    asked = DATA[task][3]
    np.testing.assert_equal(again.predict(asked), model.predict(asked))


@pytest.mark.parametrize("task", DATA)
def test_each_task_takes_a_size_for_each_layer(task: type, tmp_path: Path) -> None:
    model = trained(task, {"hidden_size": [6, 3]})
    again = load(model.save(tmp_path / "model") and tmp_path / "model")
    for made in (model, again):
        assert layers_of(made).hidden_sizes == (6, 3)
    asked = DATA[task][3]
    np.testing.assert_equal(again.predict(asked), model.predict(asked))


@pytest.mark.parametrize("task", DATA)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"residual": True, "highway": True}, "residual and highway both carry .* write one of them"),
        ({"residual": True}, "residual carries .* from the second layer on; came residual=True and one layer"),
        ({"hidden_size": [4], "highway": True}, "came highway=True and one layer; write two layers or more"),
        ({"residual": 1}, "residual is True or False; came 1"),
        ({"variational": "yes"}, "variational is True or False"),
        ({"input_dropout": 1.0}, "input_dropout is a probability below 1"),
        ({"hidden_size": []}, "a list of hidden sizes has one for each layer"),
        ({"hidden_size": [4, 3], "num_layers": 3}, r"came hidden_size=\[4, 3\] and num_layers=3"),
        ({"hidden_size": [4, 0]}, "hidden_size is a whole number from 1; came 0"),
        ({"hidden_size": [4, 3], "residual": True}, "layers of one size, or residual=False"),
    ],
)
def test_what_cannot_be_between_layers_is_one_line(task: type, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RecellError, match=said):
        trained(task, wrong)


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (Tagger, {}, "as hidden, 5 numbers a step; came 12 from word_size, character_size .twice., .* write hidden_size=12"),
        (Classifier, {}, "came 6 from embedding_size; write hidden_size=6"),
        (Classifier, {"hidden_size": 6, "num_layers": 2}, "a layer above two directions .* write bidirectional=False"),
        (Captioner, {}, "came 7 from embedding_size and code_size; write hidden_size=7"),
        (Captioner, {"feed": "state"}, "came 3 from embedding_size; write hidden_size=3"),
        (Frames, {}, "came 7 from values of a frame; write hidden_size=7"),
        (LanguageModel, {"embedding_size": 4}, "came 4 from embedding_size; write hidden_size=4"),
    ],
)
def test_a_cell_that_reads_as_much_as_it_has_units_says_so_in_the_tasks_words(task: type, options: dict, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        trained(task, {"cell": "SRU", "hidden_size": 5, **options})


def test_the_size_that_is_offered_fits() -> None:
    assert layers_of(trained(Tagger, {"cell": "SRU", "hidden_size": 12})).input_size == 12


def test_input_dropout_of_none_is_the_dropout() -> None:
    made = [Layers(3, dropout=0.2, input_dropout=rate).make(cells.get("GRU"), 4, 1) for rate in (None, 0.1, 0.0)]
    assert [layers.input_dropout for layers in made] == [0.2, 0.1, 0.0]


def test_a_cell_with_an_output_layer_puts_out_what_is_asked() -> None:
    assert Layers(3).make(cells.get("Jordan"), 4, 7)(torch.randn(2, 1, 4))[0].shape == (2, 1, 7)
