"""The tagger learns a small grammar whose tags depend on what stood before, in every form of data."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell.cli.run import run
from recell.data.tags import broken
from recell.errors import DataError, ModelError, RecellError, ShapeError
from recell.tasks import Tagger

CITIES = ("Taipei", "New York", "Rome", "Kiel", "San Jose")
SMALL: dict[str, Any] = {"hidden_size": 16, "word_size": 12, "character_size": 4, "dropout": 0.1, "threads": 1, "batch_size": 8,
                         "epochs": 25, "learning_rate": 0.02}  # fmt: skip


def grammar(count: int, seed: int = 0) -> tuple[list[list[str]], list[tuple[list[str], str]]]:
    """ "leave Rome for New York": the same names, tagged by the verb before them."""
    rng = np.random.default_rng(seed)
    words, labels = [], []
    for _ in range(count):
        a, b = (CITIES[i].split() for i in rng.choice(len(CITIES), 2, replace=False))
        intent = ("leave", "arrive")[rng.integers(2)]
        first, second = ("from", "to") if intent == "leave" else ("to", "from")
        line, tags = [intent], ["O"]
        for city, kind, word in ((a, first, "after"), (b, second, "today")):
            line += [*city, word]
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(city) - 1), "O"]
        words.append(line)
        labels.append((tags, intent))
    return words, labels


@pytest.fixture(scope="module")
def fitted() -> Tagger:
    return Tagger(**SMALL).fit(*grammar(300), progress=False)


def test_it_learns_tags_and_intents(fitted) -> None:
    figures = fitted.evaluate(*grammar(60, seed=1))
    assert figures["slot_f1"] > 0.97 and figures["intent_accuracy"] == 1 and figures["sentence_accuracy"] > 0.95
    words, labels = grammar(5, seed=2)
    assert fitted.predict(words) == labels and fitted.score(words, labels) == 1


def test_saved_and_loaded_it_answers_the_same(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    again = recell.load(tmp_path / "m")
    words, labels = grammar(40, seed=3)
    assert isinstance(again, Tagger) and again.predict(words) == fitted.predict(words)
    assert again.evaluate(words, labels) == fitted.evaluate(words, labels)


def test_words_that_training_never_saw(fitted) -> None:
    tags, intent = fitted.predict([["leave", "Timbuktu", "after", "Rome", "today"]])[0]
    assert len(tags) == 5 and intent == "leave" and broken(tags) is None


@pytest.mark.parametrize("output", ["crf", "softmax"])
def test_tags_obey_bio_even_untrained(output) -> None:
    words, labels = grammar(30)
    task = Tagger(**{**SMALL, "epochs": None, "steps": 1, "output": output}).fit(
        words, [tags for tags, _ in labels], progress=False
    )
    answers = task.predict(words)
    assert all(broken(tags) is None and len(tags) == len(row) for tags, row in zip(answers, words, strict=True))


@pytest.mark.parametrize("options", [
    {"cell": "GRU", "num_layers": 2, "output": "softmax"}, {"character_size": 0, "trigram_size": 6},
    {"modifiers": ["layer_norm", "zoneout(h=0.1)"]}, {"cell": "Jordan", "bidirectional": False, "output": "softmax"},
])  # fmt: skip
def test_options(options) -> None:
    words, labels = grammar(100)
    task = Tagger(**{**SMALL, **options}).fit(words, [tags for tags, _ in labels], progress=False)
    assert task.evaluate(words, [tags for tags, _ in labels])["slot_f1"] > (0.55 if options.get("cell") == "Jordan" else 0.9)


def test_scores_of_a_cell_that_brings_its_output_layer_are_never_dropped() -> None:
    words, labels = grammar(20)
    options = {**SMALL, "cell": "Jordan", "dropout": 0.9, "input_dropout": 0.0, "unknown_rate": 0.0, "epochs": 1}
    task: Any = Tagger(**options, bidirectional=False).fit(words, labels, progress=False)
    batch = task.codec_.batch([task.codec_.encode(example, labelled=True) for example in task._labelled(words, labels)])
    for learning, measured in zip(task.network_.train().scores(batch), task.network_.eval().scores(batch), strict=True):
        assert torch.equal(learning, measured)


@pytest.mark.parametrize(("cell", "offered"), [("Clockwork", 28), ("GRUD", 26)])
def test_a_size_of_characters_that_the_cell_does_not_take_is_named_with_one_that_it_takes(cell: str, offered: int) -> None:
    options, data = {"cell": cell, "hidden_size": 16, "word_size": 12, "steps": 1}, grammar(10)
    with pytest.raises(ShapeError, match=f"{cell} cannot read letters .* character_size=25; write character_size={offered}, "):
        Tagger(**options).fit(*data, progress=False)
    Tagger(**options, character_size=offered).fit(*data, progress=False)
    with pytest.raises(ShapeError, match="ProjectedLSTM needs a number for"):
        Tagger(cell="ProjectedLSTM").fit(*data, progress=False)


def test_plain_tags_have_their_own_figure() -> None:
    words = [["the", "dog", "barks"], ["a", "cat", "sleeps"]] * 10
    task = Tagger(**{**SMALL, "epochs": 20}).fit(words, [["D", "N", "V"]] * 20, progress=False)
    assert task.evaluate(words, [["D", "N", "V"]] * 20).keys() == {"loss", "tag_accuracy", "sentence_accuracy"}
    assert task.predict([["the", "cat", "barks"]]) == [["D", "N", "V"]]


def test_frames() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(rng.integers(3, 9), 4)).astype(np.float32) for _ in range(80)]
    tags = [["up" if value > 0 else "down" for value in np.cumsum(x[:, 1])] for x in frames]
    task = Tagger(**{**SMALL, "epochs": 40}).fit(frames[:60], tags[:60], progress=False)
    assert task.evaluate(frames[60:], tags[60:])["tag_accuracy"] > 0.85
    with pytest.raises(DataError, match="3 features"):
        task.predict([np.zeros((2, 3))])
    with pytest.raises(DataError, match="reads frames"):
        task.predict([["a"]])


def test_frames_of_a_file_from_the_command_line(tmp_path, capsys) -> None:
    rng, path, out = np.random.default_rng(1), tmp_path / "frames.jsonl", tmp_path / "m"
    frames = [rng.normal(size=(rng.integers(3, 9), 3)).round(3) for _ in range(60)]
    rows = [{"frames": x.tolist(), "tags": ["up" if value > 0 else "down" for value in x[:, 1]]} for x in frames]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    options = ["--hidden-size", "8", "--epochs", "20", "--learning-rate", "0.03", "--threads", "1", "--quiet"]
    assert run(["train", "tagger", str(path), "--out", str(out), *options]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tag_accuracy"] > 0.9
    assert run(["predict", str(out), str(path), "--json"]) == 0
    said = [json.loads(line)["output"] for line in capsys.readouterr().out.splitlines()]
    assert said == recell.load(out).predict(frames) and [len(tags) for tags in said] == [len(x) for x in frames]


def test_bioes_comes_back_as_bioes_and_is_measured_so(tmp_path) -> None:
    words, tags = [["fly", "New", "York"], ["to", "Rome", "now"]] * 20, [["O", "B-c", "E-c"], ["O", "S-c", "O"]] * 20
    task = Tagger(**SMALL, validation_fraction=0).fit(words, tags, progress=False)
    task.save(tmp_path / "m")
    assert recell.load(tmp_path / "m").predict(words[:2]) == task.predict(words[:2]) == tags[:2]
    assert task.evaluate(words, tags)["slot_f1"] == task.score(words, tags) == 1
    with pytest.raises(DataError, match="no sentence ends with the tag 'B-c'; write S-c"):
        task.evaluate([["to", "Rome"]], [["O", "B-c"]])


@pytest.mark.parametrize(("tags", "says"), [
    (["E-y", "O"], "cannot follow"), (["B-y", "O", "S-y"], "cannot follow B-y; write E-y or S-y"),
    (["B-c", "I-c", "0"], "some do not; came 0;"), (["B-c", "L-c", "U-c"], "BILOU is not read"), (["B", "I", "O"], "name a kind"),
    (["B-c", "i-c", "O"], "came i-c"), (["B-", "B-c"], "came B-;"), ([1, "O"], "tag 1 is no text"),
])  # fmt: skip
def test_tags_that_break_their_scheme_are_refused(tags, says) -> None:
    with pytest.raises(DataError, match=says):
        Tagger(**SMALL, validation_fraction=0).fit([["a"] * len(tags)], [tags], progress=False)


def test_plain_is_said_where_plain_is_meant() -> None:
    words, tags = [["a", "b", "c"]] * 4, [["B-c", "film", "I-x"]] * 4
    task = Tagger(**{**SMALL, "epochs": None, "steps": 2}, scheme="plain").fit(words, tags, progress=False)
    assert set(task.predict(words)[0]) <= {"B-c", "film", "I-x"} and "tag_accuracy" in task.evaluate(words, tags)


def test_tags_that_are_whole_numbers_come_back_so(tmp_path) -> None:
    frames = [np.full((4, 2), value, np.float32) for value in (-1, 1)] * 10
    tags = [np.full(4, value) for value in (2, 10)] * 10
    task = Tagger(**SMALL, validation_fraction=0).fit(frames, tags, progress=False)
    task.save(tmp_path / "m")
    assert recell.load(tmp_path / "m").predict(frames[:2]) == [[2] * 4, [10] * 4]
    assert task.score(frames, tags) == 1 and "true" in task.report(frames, tags)


def test_what_training_would_not_see_is_not_held_out_and_counts_as_missed_in_score() -> None:
    words, tags = [["a", "b"], *[["a", "c"]] * 9], [["O", "B-rare"], *[["O", "B-c"]] * 9]
    task = Tagger(**{**SMALL, "epochs": 2}, validation_fraction=0.9).fit(words, tags, progress=False)
    assert "B-rare" in task.codec_.known()
    assert task.score([["a"]], [["B-via"]]) == 0
    with pytest.raises(DataError, match="sentence 1, word 1 .'a'.: .*film"):
        task.evaluate([["a"]], [["film"]])


def test_the_report(fitted) -> None:
    said = fitted.report(*grammar(20, seed=4))
    assert all(name in said for name in ("from", "precision", "support", "arrive", "true \\ said"))
    assert said.count("precision") == 2
    words, labels = grammar(20, seed=4)
    turned = {"O": "O"} | {f"{letter}-{a}": f"{letter}-{b}" for letter in "BI" for a, b in (("from", "to"), ("to", "from"))}
    lines = fitted.report(words, [([turned[tag] for tag in tags], intent) for tags, intent in labels]).splitlines()
    start = next(n for n, line in enumerate(lines) if line.split()[:3] == ["true", "\\", "said"])
    assert [line.split() for line in lines[start : start + 4]] == [
        ["true", "\\", "said", "from", "to", "(missed)"], ["from", "0", "20", "0"], ["to", "20", "0", "0"],
        ["(spurious)", "0", "0", "-"]]  # fmt: skip


@pytest.mark.parametrize("data", [None, 3])
def test_no_data_is_one_line(data) -> None:
    with pytest.raises(DataError, match="list"):
        Tagger(**SMALL).fit(data, progress=False)


def test_files_and_streams(tmp_path) -> None:
    words, labels = grammar(60)
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ("\n".join(map(" ".join, words)), "\n".join(" ".join(tags) for tags, _ in labels), "\n".join(i for _, i in labels))
    for name, text in zip(("seq.in", "seq.out", "label"), lines, strict=True):
        (folder / name).write_text(text + "\n")
    conll = tmp_path / "data.conll"
    conll.write_text(
        "\n\n".join("\n".join(map(" ".join, zip(row, tags, strict=True))) for row, (tags, _) in zip(words, labels, strict=True))
    )
    listed = Tagger(**SMALL).fit(words, labels, progress=False)
    from_file = Tagger(**SMALL).fit(folder, progress=False)
    assert from_file.predict(folder) == listed.predict(words)
    streamed = Tagger(**SMALL, stream=True, validation_fraction=0).fit(conll, progress=False)
    assert streamed.evaluate(conll)["slot_f1"] > 0.9


@pytest.mark.parametrize(("words", "tags", "says"), [
    ([["a", "b"]], [["O", "I-x"]], "cannot follow"), ([["a"]], [["O", "O"]], "2 tags"), ([[]], [[]], "empty"),
    ([], [], "no example"),
])  # fmt: skip
def test_bad_examples(words, tags, says) -> None:
    with pytest.raises(DataError, match=says):
        Tagger(**SMALL).fit(words, tags, progress=False)


def test_labels_that_training_never_saw(fitted) -> None:
    with pytest.raises(DataError, match="B-via"):
        fitted.evaluate([["leave", "Rome"]], [(["O", "B-via"], "leave")])
    with pytest.raises(DataError, match="never saw the intent 'stay'; write arrive or leave, or train on data that has it"):
        fitted.evaluate([["leave", "Rome"]], [(["O", "B-to"], "stay")])


@pytest.mark.parametrize(
    "options",
    [{"output": "tree"}, {"unknown_rate": 1}, {"cell": "Jordan"}, {"character_size": -1}, {"trigram_size": 1.5}],
)
def test_options_that_cannot_be(options) -> None:
    with pytest.raises(RecellError) as refused:
        Tagger(**{**SMALL, **options}).fit(*grammar(20), progress=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "sizes"), [("SCRN", {"context": 5}), ("ProjectedLSTM", {"projection": 5}), ("FastGRNN", None), ("LMU", {"order": 6})]
)
def test_cells_of_other_widths_and_parameters_read_letters_too_and_are_loaded_again(tmp_path, cell, sizes) -> None:
    """Outputs wider or narrower than the state, sizes of the cell's own, parameters that are single numbers."""
    words, tags = grammar(12)
    task = Tagger(**{**SMALL, "cell": cell, "sizes": sizes, "steps": 2, "epochs": None}).fit(words, tags, progress=False)
    again = recell.load(task.save(tmp_path / "m") and tmp_path / "m")
    assert again.predict(words) == task.predict(words)


@pytest.mark.parametrize(("tag", "says"), [
    ("B-town", "line 2, word 2 ('rome'): training never saw the tag 'B-town'; write B-city, or train on data that has it"),
    ("NOUN", "line 2, word 2 ('rome'): training never saw the tag 'NOUN'; write O, or train on data that has it"),
    ("?", "line 2, word 2 ('rome'): training never saw the tag '?'; write B-city or I-city or O, or train on data that has it"),
    ("I-city", "line 2, word 2 ('rome'): the tag 'I-city' cannot follow O; write B-city where a span begins"),
])  # fmt: skip
def test_the_command_line_says_in_one_line_which_tag_training_never_saw(tag: str, says: str, tmp_path, capsys) -> None:
    (tmp_path / "train.conll").write_text("to O\nnew B-city\nyork I-city\n\nto O\nrome B-city\n\n" * 9, encoding="utf-8")
    data = tmp_path / "asked.conll"
    data.write_text(f"to O\nrome {tag}\n", encoding="utf-8")
    task = Tagger(hidden_size=6, word_size=5, character_size=0, steps=1).fit(tmp_path / "train.conll", progress=False)
    task.save(tmp_path / "m")
    for shown in ([], ["--json"]):
        assert run(["evaluate", str(tmp_path / "m"), str(data), *shown]) == 2
        out, said = capsys.readouterr()
        assert out == "" and said == f"recell: {data}, {says}\n"


def test_a_damaged_folder_is_refused(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    config = (tmp_path / "m" / "config.json").read_text()
    for damage in itertools.islice(
        (config[:n] + "x" + config[n + 1 :] for n in range(0, len(config), max(1, len(config) // 7))), 8
    ):
        (tmp_path / "m" / "config.json").write_text(damage)
        with pytest.raises(ModelError):
            recell.load(tmp_path / "m")


def test_the_command_line_prints_a_tag_for_each_word(tmp_path, capsys) -> None:
    (tmp_path / "train.conll").write_text("to O\nnew B-city\nyork I-city\n\nto O\nrome B-city\n\n" * 9, encoding="utf-8")
    (tmp_path / "ask.txt").write_text("to\nrome\n\nto\nnew\nyork\n", encoding="utf-8")
    tagger = Tagger(hidden_size=6, word_size=5, character_size=0, epochs=2).fit(tmp_path / "train.conll", progress=False)
    tagger.save(tmp_path / "m")
    assert run(["predict", str(tmp_path / "m"), str(tmp_path / "ask.txt")]) == 0
    tags = tagger.predict([["to", "rome"], ["to", "new", "york"]])
    assert capsys.readouterr().out == f"to rome\t{' '.join(tags[0])}\nto new york\t{' '.join(tags[1])}\n"
    (tmp_path / "lines.txt").write_text("to rome\nto new york\n", encoding="utf-8")
    assert run(["predict", str(tmp_path / "m"), str(tmp_path / "lines.txt")]) == 2
    assert "a word a line, and an empty line between sentences" in capsys.readouterr().err


@pytest.mark.parametrize("entry", ["scheme", "written", "whole"])
def test_a_config_that_does_not_say_how_tags_are_written_is_damaged(fitted: Tagger, entry: str) -> None:
    described = fitted._fitted()[1].to_json()
    assert fitted._codec_of(described).to_json() == described
    for wrong in ({}, {entry: ["bio"]}):
        with pytest.raises(ModelError, match="config.json is damaged: the codec has no tags"):
            fitted._codec_of({**{name: value for name, value in described.items() if name != entry}, **wrong})
