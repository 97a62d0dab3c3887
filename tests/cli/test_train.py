from __future__ import annotations

import json
from pathlib import Path

import pytest

import recell as library

TRAIN = ("train", "language-model")


def test_train_evaluate_and_generate(recell, corpus: Path, small, tmp_path: Path) -> None:
    out = tmp_path / "m"
    trained = recell(*TRAIN, corpus, "--out", out, *small, "--cell", "gru", "--layers", 2, "--seed", 7, "--json")
    assert (trained.code, trained.err) == (0, "")
    report = json.loads(trained.out)
    assert report["model"] == str(out) and report["step"] == 6 and report["validation_loss"] > 0
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "model.safetensors", "vocabulary.json", "metrics.jsonl", "checkpoint"}
    figures = json.loads(recell("evaluate", out, corpus, "--json").out)
    assert figures == library.load(out).evaluate(corpus)
    assert {"nats_per_token", "bits_per_token", "perplexity", "tokens"} <= figures.keys()
    shown = recell("evaluate", out, corpus)
    assert shown.code == 0 and f"{figures['nats_per_token']:.4f}" in shown.out
    assert library.load(out).get_params()["cell"] == "GRU"


def test_progress_goes_to_standard_error(recell, corpus: Path, small, tmp_path: Path) -> None:
    ran = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small[:-1], "--json")
    assert "step 6 of 6" in ran.err and "bits/token" in ran.err and "characters/s" in ran.err
    json.loads(ran.out)


def test_a_cell_of_the_users_own_file(recell, corpus: Path, small, tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("FACTOR = 0.5\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "from helper_of_mine import FACTOR\nfrom recell import cell, tanh\n"
        "@cell\ndef Mine(p, x, h):\n    return FACTOR * h + tanh(p.W @ x + p.U @ h + p.b)\n"
    )
    ran = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small, "--cell", f"{file}:Mine")
    assert ran.code == 0, ran.err
    file.unlink()
    assert recell("generate", tmp_path / "m", "--length", 5).code == 0
    assert library.load(tmp_path / "m").get_params()["cell"].name == "Mine"


def test_resume_remembers_the_options(recell, corpus: Path, small, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = (*small, "--dropout", 0.25, "--set", 'plan={"checkpoint_every": 2}', "--set", "weight=1")
    assert recell(*TRAIN, corpus, "--out", whole, *options[:-2], "--seed", 3).code == 0
    assert recell(*TRAIN, corpus, "--out", parts, *options[:-2], "--seed", 3).code == 0
    longer = recell(*TRAIN, corpus, "--out", parts, "--resume", "--steps", 9, "--quiet", "--json")
    assert longer.code == 0, longer.err
    assert json.loads(longer.out)["step"] == 9 and json.loads(longer.out)["resumed"] is True and longer.err == ""
    assert library.load(parts).get_params()["dropout"] == 0.25
    other = recell(*TRAIN, corpus, "--out", parts, "--resume", "--hidden-size", 9)
    assert other.code == 2 and "hidden_size=8; came 9" in other.err
    again = recell(*TRAIN, corpus, "--out", whole, *small)
    assert again.code == 2 and "--resume" in again.err


def test_what_acts_between_layers(recell, corpus: Path, small, tmp_path: Path) -> None:
    options = ("--hidden-size", "7,7,7", "--highway", "--input-dropout", 0.1, "--variational")
    assert recell(*TRAIN, corpus, "--out", tmp_path / "m", *small, *options).code == 0
    found = library.load(tmp_path / "m").get_params()
    assert (found["hidden_size"], found["highway"], found["residual"]) == ([7, 7, 7], True, False)
    assert (found["input_dropout"], found["variational"]) == (0.1, True)
    assert recell("generate", tmp_path / "m", "--length", 5).code == 0
    assert recell(*TRAIN, corpus, "--out", tmp_path / "r", *small, "--layers", 2, "--residual").code == 0


def test_resume_where_nothing_was_saved_yet_begins_and_says_so(recell, corpus: Path, small, tmp_path: Path) -> None:
    begun = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small, "--resume", "--json")
    assert begun.code == 0 and json.loads(begun.out)["resumed"] is False
    assert begun.err == f"there is no checkpoint in {tmp_path / 'm'} to resume: the training begins anew\n"
    told = recell(*TRAIN, corpus, "--out", tmp_path / "n", *small[:-1], "--resume")  # with progress
    assert told.code == 0 and told.err.splitlines()[0].startswith("there is no checkpoint in")
    assert "resumed" in told.out and "resumed" not in recell(*TRAIN, corpus, "--out", tmp_path / "o", *small).out
    refused = recell(*TRAIN, tmp_path / "no.txt", "--out", tmp_path / "p", *small, "--resume")
    assert refused.code == 2 and len(refused.err.splitlines()) == 1


def files(tmp_path: Path) -> dict[str, bytes]:
    contents = {
        "empty.txt": b"",
        "latin.txt": b"caf\xe9 " * 1000,
        "short.txt": b"too short",
        "syntax.py": b"def (",
        "fails.py": b"x = 1\nraise ValueError('no luck')\n",
        "ends.py": b"import sys\nsys.exit(3)\n",
        "none.py": b"x = 1\n",
        "branch.py": b"from recell import cell\n@cell\ndef B(p, x, h):\n    if x: return h\n    return x\n",
        "two.py": b"from recell import cell, tanh\n@cell\ndef Two(p, x, h):\n    return tanh(p.W @ x + p.U @ h), h\n",
        "good.py": b"from recell import cell, tanh\n@cell\ndef Good(p, x, h):\n    return tanh(p.W @ x + p.U @ h)\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return contents


BAD = [
    (("missing.txt",), "does not exist"),
    ((".",), "folder"),
    (("empty.txt",), "empty"),
    (("latin.txt",), "offset 3"),
    (("short.txt",), "shorter than one batch"),
    (("corpus.txt", "--cell", "LSTN"), "LSTM"),
    (("corpus.txt", "--cell", "gone.py:Mine"), "no file"),
    (("corpus.txt", "--cell", "syntax.py:Mine"), "line 1"),
    (("corpus.txt", "--cell", "fails.py:Mine"), "fails.py line 2: ValueError: no luck"),
    (("corpus.txt", "--cell", "ends.py:Mine"), "ends.py line 2: SystemExit: 3"),
    (("corpus.txt", "--cell", "none.py:Mine"), "defines no cell"),
    (("corpus.txt", "--cell", "branch.py:B"), "where"),
    (("corpus.txt", "--cell", "two.py:Two"), "two.py"),
    (("corpus.txt", "--cell", "good.py:God"), "Good"),
    (("corpus.txt", "--cell", "good.py"), "good.py:Good"),
    (("corpus.txt", "--hidden-size", "0"), "hidden_size"),
    (("corpus.txt", "--hidden-size", "many"), "hidden-size"),
    (("corpus.txt", "--hidden-size", "8,many"), "256,128"),
    (("corpus.txt", "--hidden-size", "8,9", "--highway"), "layer 1 takes 8 and gives 9"),
    (("corpus.txt", "--residual", "--highway"), "write one of them"),
    (("corpus.txt", "--epochs", "2"), "steps and epochs"),
    (("corpus.txt", "--level", "letters"), "characters"),
    (("corpus.txt", "--optimizer", "adam"), "adamw"),
    (("corpus.txt", "--set", "hiden_size=3"), "hidden_size"),
    (("corpus.txt", "--set", "nothing"), "--set"),
    (("corpus.txt", "--set", "plan=3"), "plan"),
    (("corpus.txt", "--validation", "empty.txt"), "empty"),
    (("corpus.txt", "--colour", "red"), "colour"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(recell, corpus, small, tmp_path, monkeypatch, arguments, says) -> None:
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = recell(*TRAIN, arguments[0], "--out", "m", *small, *arguments[1:])
    assert ran.code == 2 and ran.out == ""
    assert ran.err.startswith("recell: ") and ran.err.count("\n") == 1 and ran.err.endswith("\n")
    assert says in ran.err
    after = sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__")
    assert after == before


def test_an_unknown_task_and_a_missing_option(recell, corpus: Path, tmp_path: Path) -> None:
    ran = recell("train", "language-modle", corpus, "--out", tmp_path / "m")
    assert ran.code == 2 and "language-model" in ran.err and ran.err.count("\n") == 1
    ran = recell("train", "language-model", corpus)
    assert ran.code == 2 and "--out" in ran.err and ran.err.count("\n") == 1


def test_an_out_that_is_a_file(recell, corpus: Path, small, tmp_path: Path) -> None:
    ran = recell(*TRAIN, corpus, "--out", corpus, *small)
    assert ran.code == 2 and "could not create" in ran.err and ran.err.count("\n") == 1
    assert corpus.is_file()


def test_a_full_disk(recell, corpus: Path, small, tmp_path: Path, monkeypatch) -> None:
    import os

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small)
    assert ran.code == 2 and "No space left on device" in ran.err and ran.err.count("\n") == 1


def test_evaluate_and_predict_refuse_what_is_no_model(recell, corpus: Path, model: Path, tmp_path: Path) -> None:
    for command in ("evaluate", "predict"):
        ran = recell(command, tmp_path / "none", corpus)
        assert ran.code == 2 and "no model folder" in ran.err and ran.err.count("\n") == 1
        ran = recell(command, model, tmp_path / "none.txt")
        assert ran.code == 2 and "does not exist" in ran.err and ran.err.count("\n") == 1


def test_predict_answers_every_line(recell, model: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("the cat\nthe dog\n")
    ran = recell("predict", model, tmp_path / "prompts.txt", "--json")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer["input"] for answer in answers] == ["the cat", "the dog"]
    assert [answer["output"] for answer in answers] == library.load(model).predict(["the cat", "the dog"])
    assert recell("predict", model, tmp_path / "prompts.txt").out.startswith("the cat\t")


def test_an_out_without_a_name(recell, corpus: Path, small, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = recell("train", "language-model", corpus, "--out", "", *small)
    assert (ran.code, ran.err.count("\n")) == (2, 1) and "a folder needs a name" in ran.err
    assert not (tmp_path / "config.json").exists() and not (tmp_path / "checkpoint").exists()
    assert recell("generate", "").err == ran.err


def test_what_acts_between_layers_is_set_for_any_task(recell, tmp_path: Path) -> None:
    rows = [{"text": f"red {word} stop", "spans": [[0, 3, "colour"]]} for word in ("cars", "ants", "men")]
    (tmp_path / "terms.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = recell("train", "key-terms", tmp_path / "terms.jsonl", "--out", tmp_path / "m", "--hidden-size", "4,4", "--highway",
                 "--input-dropout", 0.25, "--variational", "--steps", 2, "--quiet", "--set", "validation_fraction=0")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    layers = library.load(tmp_path / "m").network_.members[0].recurrent
    assert (layers.highway, layers.input_dropout, layers.variational, layers.hidden_sizes) == (True, 0.25, True, (4, 4))


def test_a_size_that_is_missing_is_asked_for_as_the_command_line_takes_it(recell, corpus: Path, small, tmp_path: Path) -> None:
    asked = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small, "--cell", "ProjectedLSTM")
    assert asked.code == 2 and "write --set 'sizes={\"projection\": 40}'" in asked.err
    given = recell(*TRAIN, corpus, "--out", tmp_path / "m", *small, "--cell", "ProjectedLSTM", "--set", 'sizes={"projection": 5}')
    assert given.code == 0, given.err
