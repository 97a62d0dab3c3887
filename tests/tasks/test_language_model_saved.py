"""A saved language model: it loads as it was, anywhere, and what was damaged or changed is refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import recell
from recell.errors import DataError, ModelError
from recell.runtime.saved import config_hash
from recell.tasks import LanguageModel
from recell.tasks._trained import _check_note
from tests.tasks.helper import Leaky, same, weights

BETWEEN: dict[str, dict[str, Any]] = {
    "LSTM": {"highway": True},
    "GRU": {"residual": True, "input_dropout": 0.1},
    "Jordan": {"num_layers": 1},
    "SCRN": {"hidden_size": [6, 9], "variational": True},
}


@pytest.mark.parametrize("name", BETWEEN)
def test_saved_and_loaded_it_is_the_same(name: str, corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    model = LanguageModel(**{**small, "steps": 2, "cell": name, "num_layers": 2, "dropout": 0.2, **BETWEEN[name]})
    model.fit(corpus, progress=False).save(tmp_path / "m")
    loaded = LanguageModel.load(tmp_path / "m")
    assert same(weights(model), weights(loaded))
    assert loaded.evaluate(corpus) == model.evaluate(corpus)
    assert loaded.get_params() == model.get_params()
    loaded.save(tmp_path / "again")
    for path in (tmp_path / "m").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", ["residual", "highway"])
def test_a_config_that_does_not_say_what_lies_between_layers_is_damaged(name: str, corpus: Path, small: dict[str, Any],
                                                                       tmp_path: Path) -> None:  # fmt: skip
    LanguageModel(**{**small, "steps": 1}, num_layers=2).fit(corpus, progress=False).save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["network"][name]
    config["sha256"] = config_hash(config)
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"damaged: 'network.{name}' should be bool; came None"):
        recell.runtime.load(tmp_path / "m")


@pytest.mark.parametrize(("left_out", "said"), [("highway", "has highway=None; came False"), ("held_out", "held out other data")])
def test_a_checkpoint_that_leaves_out_how_it_was_trained_is_not_resumed(left_out: str, said: str, small: dict[str, Any]) -> None:
    note = LanguageModel(**small)._note("text", "held out")
    earlier = {name: value for name, value in note.items() if name != left_out}
    earlier["options"] = {name: value for name, value in note["options"].items() if name != left_out}
    _check_note(note, note, "m")
    with pytest.raises(ModelError, match=said):
        _check_note(earlier, note, "m")


def test_a_cell_of_ones_own_loads_where_nobody_knows_it(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    model = LanguageModel(**small, cell=Leaky).fit(corpus, progress=False).save(tmp_path / "m")
    program = (
        "import sys, recell; m = recell.load(sys.argv[1]); r = recell.runtime.load(sys.argv[1]);"
        "print(repr(m.evaluate(sys.argv[2])['nats_per_token'])); print(repr(r.generate('the', 30, seed=4)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "m", corpus],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    nats, text = done.stdout.splitlines()
    assert float(nats) == model.evaluate(corpus)["nats_per_token"]
    assert text == repr(model.runtime().generate("the", 30, seed=4))


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json", "config.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "flip"])
def test_a_damaged_folder_is_refused_in_one_line(name: str, damage: str, fitted, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    path = tmp_path / "m" / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    for load in (recell.load, recell.runtime.load):
        with pytest.raises(ModelError, match=name.replace(".", r"\.")) as caught:
            load(tmp_path / "m")
        assert "\n" not in str(caught.value)


def change(folder: Path, *keys: Any, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    inner = config
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    config["sha256"] = config_hash(config)  # as one would who meant harm
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("network", "hidden_size"), 13),
        (("network", "hidden_size"), 10**12),
        (("network", "hidden_size"), "12"),
        (("network", "num_layers"), 2),
        (("network", "num_layers"), 0),
        (("network", "num_layers"), 10**9),
        (("network", "input_size"), True),
        (("network", "sizes"), {"context": "x"}),
        (("network", "sizes"), {"context": 4}),
        (("network", "cell"), {}),
        (("network", "cell", "graph"), {"nodes": []}),
        (("network", "cell", "graph", "nodes", 0), ["run", [], [], "row", ["input"]]),
        (("network",), []),
        (("vocabulary",), "../vocabulary.json"),
        (("files", "../x"), {"bytes": 0, "sha256": ""}),
        (("files",), {}),
        (("format",), 99),
        (("task",), 7),
        (("trained",), None),
    ],
)  # fmt: skip
def test_a_config_that_does_not_verify_is_refused_in_one_line(keys, value, fitted, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    change(tmp_path / "m", *keys, value=value)
    with pytest.raises(ModelError) as caught:
        recell.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_saved_model(fitted, corpus: Path, tmp_path: Path, monkeypatch) -> None:
    fitted.save(tmp_path / "m")
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        fitted.set_params(seed=9).save(tmp_path / "m")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}


@pytest.mark.parametrize(
    ("name", "value"), [("dropout", "x"), ("dropout", -1), ("window", 1.5), ("threads", True), ("threads", -1)]
)
def test_changed_options_under_a_right_hash_are_refused_when_loaded(
    corpus: Path, small: dict[str, Any], tmp_path: Path, name: str, value: object
) -> None:
    folder = tmp_path / "m"
    LanguageModel(**small).fit(corpus, progress=False).save(folder)
    config = json.loads((folder / "config.json").read_text())
    config["options"][name] = value
    config["sha256"] = config_hash(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"changed: .*{name}"):
        recell.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocabulary.json", "metrics.jsonl", "checkpoint"])
def test_files_of_others_are_not_overwritten(corpus: Path, small: dict[str, Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"name": "of another program"}')
    with pytest.raises(ModelError, match=f"already holds {name}, which this training would overwrite"):
        LanguageModel(**small).fit(corpus, progress=False, out=tmp_path)
    assert (tmp_path / name).read_text() == '{"name": "of another program"}'


def test_other_files_may_lie_beside_a_model(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    for name in ("notes.txt", "corpus.json"):
        (tmp_path / name).write_text(name)
    LanguageModel(**small).fit(corpus, progress=False, out=tmp_path).save(tmp_path).save(tmp_path)
    assert recell.load(tmp_path).evaluate(corpus)["tokens"] > 0
    assert all((tmp_path / name).read_text() == name for name in ("notes.txt", "corpus.json"))
