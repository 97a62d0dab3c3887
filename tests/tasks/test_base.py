from __future__ import annotations

import json

import pytest

import recell
from recell import tasks
from recell.errors import ModelError, RecellError
from recell.runtime.saved import config_hash
from recell.tasks import LanguageModel
from recell.tasks.base import options_from_json, options_to_json


def clone(estimator):
    """What sklearn.clone does, and what it checks."""
    options = estimator.get_params(deep=False)
    copy = type(estimator)(**options)
    again = copy.get_params(deep=False)
    assert all(options[name] is again[name] for name in options)
    return copy


def test_options_are_stored_as_given_and_only_checked_in_fit(corpus) -> None:
    sizes = {"context": 40}
    task = LanguageModel(hidden_size=-3, sizes=sizes, cell="none such")
    assert task.get_params()["sizes"] is sizes
    copy = clone(task)
    assert copy.get_params() == task.get_params() and copy is not task
    with pytest.raises(RecellError, match="hidden_size"):
        task.fit(corpus)


def test_setting_options() -> None:
    task = LanguageModel()
    assert task.set_params(seed=3) is task and task.seed == 3
    with pytest.raises(RecellError, match="hidden_size"):
        task.set_params(hiden_size=3)
    assert task.seed == 3
    with pytest.raises(TypeError):
        LanguageModel("LSTM")  # pyright: ignore[reportCallIssue]
    assert repr(LanguageModel(cell="GRU", seed=0)) == "LanguageModel(cell='GRU')"


def test_tasks_are_found_by_their_files() -> None:
    assert tasks.names() == ("language-model",) or "language-model" in tasks.names()
    assert tasks.find("language-model") is tasks.find("language_model") is LanguageModel
    with pytest.raises(RecellError, match="write language-model"):
        tasks.find("langage-model")
    with pytest.raises(AttributeError):
        tasks.NoSuchTask  # noqa: B018


def test_options_as_data_and_back() -> None:
    import numpy as np

    options = {
        "cell": recell.cells.get("GRU"),
        "sizes": {"a": np.int64(3)},
        "x": np.float32(0.5),
        "t": (1, 2),
        "n": None,
    }
    data = json.loads(json.dumps(options_to_json(options)))
    assert options_from_json(data) == {**options, "t": [1, 2]}
    with pytest.raises(RecellError, match="cannot be saved"):
        options_to_json({"f": print})


def rewrite(folder, config: dict) -> None:
    (folder / "config.json").write_text(json.dumps({**config, "sha256": config_hash(config)}))


def test_any_task_is_loaded_by_its_folder(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    assert isinstance(recell.load(tmp_path / "m"), LanguageModel)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    rewrite(tmp_path / "m", {**config, "task": "langage_model"})
    with pytest.raises(ModelError, match="language_model"):
        recell.load(tmp_path / "m")
    rewrite(tmp_path / "m", {**config, "options": {"colour": 3}})
    with pytest.raises(ModelError, match="another recell"):
        recell.load(tmp_path / "m")
