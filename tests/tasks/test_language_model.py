from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell import cell, cells, sigmoid, tanh
from recell.data.batching import IGNORED
from recell.errors import CellError, DataError, ModelError, RecellError
from recell.modifiers import recurrent_dropout, zoneout
from recell.runtime.saved import config_hash
from recell.tasks import LanguageModel
from recell.tasks._trained import _check_note
from recell.tasks.language_model import Network


@cell
def Leaky(p, x, h):
    g = sigmoid(p.W_g @ x + p.b_g)
    return g * h + (1 - g) * tanh(p.W @ x + p.U @ h + p.b)


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


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
    network = Network(cells.get(name), 11, embedding_size=5, hidden_size=7).double()
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


def test_what_an_earlier_recell_saved_loads_and_resumes_as_before(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    """Options that it did not have are absent from config.json and from the checkpoint's note."""
    younger = ("residual", "highway", "input_dropout", "variational")
    model = LanguageModel(**{**small, "steps": 2}, num_layers=2).fit(corpus, out=tmp_path / "m", progress=False)
    model.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    for name in younger:
        del config["options"][name]
        config["network"].pop(name, None)
    config["sha256"] = config_hash(config)
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    loaded = LanguageModel.load(tmp_path / "m")
    assert same(weights(model), weights(loaded)) and loaded.evaluate(corpus) == model.evaluate(corpus)
    assert recell.runtime.load(tmp_path / "m").generate("the", 9, seed=1) == model.generate("the", 9, seed=1)
    note = model._note("text")
    earlier = {**note, "options": {n: v for n, v in note["options"].items() if n not in younger}}
    _check_note(earlier, note, "m", LanguageModel._options())
    with pytest.raises(ModelError, match="has highway=False; came True"):
        _check_note(earlier, LanguageModel(**{**small, "steps": 2}, num_layers=2, highway=True)._note("text"), "m",
                    LanguageModel._options())  # fmt: skip


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
    real = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grad_norm_",
        lambda *a, **k: (seen.append(torch.get_num_threads()), real(*a, **k))[1],
    )
    LanguageModel(**small).fit(corpus, progress=False)
    assert set(seen) == {1} and torch.get_num_threads() == before


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


@pytest.mark.parametrize("name", ["LSTM", "GRU with coins"])
def test_broken_off_and_resumed_it_ends_with_the_very_same_weights(
    name: str, corpus: Path, small: dict[str, Any], tmp_path: Path, monkeypatch
) -> None:
    """Dropout, coins, carried state, two layers, a change of epoch: stopped where no checkpoint stands."""
    chosen = name if name == "LSTM" else recell.cells.get("GRU").with_(zoneout(h=0.2), recurrent_dropout(0.3))
    options = {**small, "cell": chosen, "steps": 60, "num_layers": 2, "dropout": 0.3, "plan": {"checkpoint_every": 7}}
    whole = LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "whole")
    real = torch.nn.utils.clip_grad_norm_
    calls = []

    def broken(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 45:
            raise RuntimeError("the power is gone")
        return real(*arguments, **named)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", broken)
    with pytest.raises(RuntimeError, match="power"):
        LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "broken")
    resumed = LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "broken", resume=True)
    assert len(calls) == 45 + 60 - 42
    assert same(weights(whole), weights(resumed))
    dropped = [{k: v for k, v in record.items() if k != "seconds"} for record in resumed.history_]
    assert dropped == [{k: v for k, v in record.items() if k != "seconds"} for record in whole.history_]


@pytest.mark.slow
def test_killed_at_random_moments_the_command_ends_with_the_very_same_weights(corpus: Path, tmp_path: Path) -> None:
    """The whole program under SIGKILL, resumed each time, against one that was never killed."""
    options = ["--hidden-size", "16", "--batch-size", "4", "--window", "10", "--steps", "150", "--dropout", "0.2",
               "--seed", "5", "--threads", "1", "--quiet"]  # fmt: skip

    def command(folder: str, *more: str) -> list[str]:
        program = [sys.executable, "-m", "recell.cli", "train", "language-model", str(corpus)]
        return [*program, "--out", str(tmp_path / folder), *options, *more]

    whole = subprocess.Popen(command("whole"))
    generator, killed = random.Random(os.getpid()), 0
    for _ in range(4):
        process = subprocess.Popen(command("killed", "--resume"), stderr=subprocess.PIPE)
        time.sleep(generator.uniform(0.5, 6.0))
        process.kill()
        _, errors = process.communicate()
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert killed
    assert whole.wait() == 0
    subprocess.run(command("killed", "--resume"), check=True)
    names = ("model.safetensors", "vocabulary.json")
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "killed" / n).read_bytes() for n in names)


def test_a_training_goes_on_longer(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    LanguageModel(**small).fit(corpus, progress=False, out=tmp_path)
    more = LanguageModel(**{**small, "steps": 20}).fit(corpus, progress=False, out=tmp_path, resume=True)
    assert more.steps_ == 20
    assert [record["step"] for record in more.history_ if "loss" in record] == sorted(
        {record["step"] for record in more.history_ if "loss" in record}
    )


def test_what_was_another_training_is_not_resumed(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "m"
    LanguageModel(**small).fit(corpus, progress=False, out=out)
    with pytest.raises(ModelError, match="already holds a training's checkpoints.*or delete"):
        LanguageModel(**small).fit(corpus, out=out)
    with pytest.raises(ModelError, match="hidden_size=12; came 13"):
        LanguageModel(**{**small, "hidden_size": 13}).fit(corpus, out=out, resume=True)
    with pytest.raises(ModelError, match="cell='LSTM'; came"):
        LanguageModel(**small, cell=Leaky).fit(corpus, out=out, resume=True)
    with pytest.raises(ModelError, match="other data"):
        LanguageModel(**small).fit([corpus.read_text() + "more and more" * 9], out=out, resume=True)


def test_ctrl_c_saves_and_says_where(corpus: Path, small: dict[str, Any], tmp_path: Path, monkeypatch) -> None:
    real = torch.nn.utils.clip_grad_norm_

    def interrupt(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **named)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", interrupt)
    with pytest.raises(KeyboardInterrupt, match="after 1 steps; the checkpoint is in"):
        LanguageModel(**small).fit(corpus, progress=False, out=tmp_path / "m")
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        LanguageModel(**small).fit(corpus, progress=False)


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


def test_prediction_is_the_most_probable_token(fitted) -> None:
    answers = fitted.predict(["the cat", ""])
    assert [len(answer) for answer in answers] == [1, 1]
    assert answers[0] == fitted.generate("the cat", 1, temperature=0)


def test_the_cell_must_be_one(corpus: Path) -> None:
    with pytest.raises(CellError, match="Python|cell"):
        LanguageModel(cell=print).fit(corpus)  # pyright: ignore[reportArgumentType]


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


def test_another_thread_count_is_said_when_resumed(corpus: Path, small: dict[str, Any], tmp_path: Path, capsys) -> None:
    out = tmp_path / "m"
    LanguageModel(**small).fit(corpus, progress=False, out=out)
    for steps, threads, said in ((14, 1, False), (16, 2, True), (18, 2, False)):
        LanguageModel(**{**small, "steps": steps, "threads": threads}).fit(corpus, out=out, resume=True)
        lines = [line for line in capsys.readouterr().err.splitlines() if "thread" in line]
        assert len(lines) == said
        assert not said or "ran with 1 thread(s) and goes on with 2" in lines[0] and "--threads 1" in lines[0]


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
