"""What a language model refuses, in one line, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import recell
from recell.errors import CellError, DataError, ModelError, RecellError
from recell.tasks import LanguageModel

BAD_OPTIONS = [
    ({"hidden_size": 0}, "hidden_size"),
    ({"num_layers": 1.5}, "num_layers"),
    ({"steps": 5, "epochs": 2}, "steps and epochs"),
    ({"dropout": 1.0}, "dropout"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"level": "letters"}, "characters"),
    ({"optimizer": "adam"}, "adamw"),
    ({"learning_rate": 0.0}, "learning rate"),
    ({"plan": {"decay": "cosin"}}, "cosine"),
    ({"plan": {"colour": 1}}, "colour"),
    ({"plan": {"clip": -1.0}}, "clip"),
    ({"cell": "LSTN"}, "LSTM"),
    ({"cell": 3}, "cell"),
    ({"device": "tpu9"}, "device"),
    ({"backend": "gpu"}, "backend"),
    ({"cell": "Jordan", "num_layers": 2}, "num_layers=1"),
    ({"sizes": {"context": 3}}, "context"),
    ({"batch_size": 500}, "shorter than one batch"),
    ({"seed": 2**64}, "64 bits"),
    ({"threads": 100_000}, "at most 1024"),
    ({"dropout": "much"}, "dropout is a number"),
    ({"validation_fraction": None}, "validation fraction is a number"),
    ({"learning_rate": "fast"}, "learning rate is a number"),
    ({"learning_rate": float("nan")}, "learning rate is a number"),
    ({"plan": {"clip": "tight"}}, "clip is a number"),
    ({"plan": {"report_every": 2.5}}, "report_every counts steps"),
    ({"plan": {"warmup": -5}}, "warmup is a number"),
    ({"seed": 1.5}, "seed is a whole number"),
    ({"sizes": [3]}, "sizes holds numbers"),
    ({"hidden_size": 10**8}, "the network cannot be made"),
    ({"hidden_size": [8, 0]}, "hidden_size is a whole number"),
    ({"hidden_size": []}, "one for each layer"),
    ({"hidden_size": [8, 9, 10], "num_layers": 2}, "one for each layer"),
    ({"hidden_size": [8, 9], "residual": True}, "layer 1 takes 8 and gives 9"),
    ({"residual": True, "highway": True}, "write one of them"),
    ({"highway": "yes"}, "highway is True or False"),
    ({"input_dropout": 1.0}, "input_dropout"),
]


@pytest.mark.parametrize(("wrong", "says"), BAD_OPTIONS)
def test_wrong_options_are_refused_in_one_line_and_nothing_is_written(
    wrong: dict, says: str, corpus: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(RecellError, match=says) as caught:
        LanguageModel(**{**small, **wrong}).fit(corpus, out=tmp_path / "m", progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_an_untrained_model_says_so(corpus: Path, tmp_path: Path) -> None:
    calls = (
        lambda m: m.evaluate(corpus),
        lambda m: m.generate(),
        lambda m: m.save(tmp_path / "m"),
        lambda m: m.predict([]),
    )
    for call in calls:
        with pytest.raises(ModelError, match="not trained"):
            call(LanguageModel())
    assert not (tmp_path / "m").exists()


def test_an_empty_text_is_refused(fitted: LanguageModel) -> None:
    with pytest.raises(DataError, match="no characters"):
        fitted.evaluate([])


def test_the_cell_must_be_one(corpus: Path) -> None:
    with pytest.raises(CellError, match="Python|cell"):
        LanguageModel(cell=print).fit(corpus)  # pyright: ignore[reportArgumentType]


def test_a_folder_needs_a_name(corpus: Path, small: dict[str, Any], trained: LanguageModel) -> None:
    for act in (lambda: LanguageModel(**small).fit(corpus, progress=False, out=""), lambda: trained.save(" ")):
        with pytest.raises(DataError, match="a folder needs a name; came ' ?'"):
            act()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "came 3"), (None, "came None"), (b"abc", "came b'abc'"), ([1, 2], r"came \[1, 2\]"),
        ("two\nlines", "a text of 9 characters; write .text"), ("long " * 1000, "a text of 5,000 characters"),
        ("x" * 1000, "too long"),
    ],
)  # fmt: skip
def test_data_that_is_no_text_is_one_line(small: dict[str, Any], data: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        LanguageModel(**small).fit(data, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prompts", ["one prompt", 3, [3], [None]])
def test_predict_takes_a_list_of_prompts(trained: LanguageModel, prompts: Any) -> None:
    with pytest.raises(DataError, match="predict takes a list of prompts; came"):
        trained.predict(prompts)


def test_what_a_user_in_a_hurry_gives(corpus: Path, small: dict[str, Any], trained: LanguageModel) -> None:
    for act, says in (
        (lambda: LanguageModel(**small, device="meta").fit(corpus, progress=False), "the meta device computes nothing"),
        (lambda: LanguageModel(**small).fit(corpus, progress="no"), "progress is True, False or a Progress; came 'no'"),
        (lambda: trained.save(None), "a folder is a name or a Path; came None"),
        (lambda: recell.load(3), "a folder is a name or a Path; came 3"),
        (lambda: recell.load(""), "a folder needs a name"),
    ):
        with pytest.raises(RecellError, match=says):
            act()


def test_patience_needs_something_held_out(corpus: Path, small: dict[str, Any]) -> None:
    with pytest.raises(RecellError, match="nothing is held out to validate on; came patience=2"):
        LanguageModel(**{**small, "validation_fraction": 0, "patience": 2}).fit(corpus, progress=False)
