"""The classifier on small tasks that must be learnt: texts whose words matter in order, series whose sign matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell.errors import DataError, ModelError, RecellError
from recell.tasks import Classifier
from recell.training.progress import Quiet

SMALL: dict[str, Any] = {"cell": "GRU", "hidden_size": 12, "embedding_size": 8, "dropout": 0.1, "threads": 1, "batch_size": 16,
                         "epochs": 10, "learning_rate": 0.02}  # fmt: skip


def texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """ "not good" is bad: no word alone says it."""
    rng = np.random.default_rng(seed)
    made, labels = [], []
    for _ in range(count):
        good, turned = rng.integers(2, size=2)
        filler = ["the", "film", "was"][: rng.integers(1, 4)]
        made.append(" ".join([*filler, *["not"] * turned, ("bad", "good")[good], "!"]))
        labels.append("good" if good != turned else "bad")
    return made, labels


def series(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[int]]:
    """Which of two channels, on scales far apart, lies higher above its own mean."""
    rng = np.random.default_rng(seed)
    made = [rng.normal(0, 0.5, (rng.integers(2, 9), 2)) + rng.permutation([-1, 1]) for _ in range(count)]
    return [x * [1000, 0.01] + [5000, -1] for x in made], [int(x.mean(0).argmax()) for x in made]


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    return Classifier(**SMALL).fit(*texts(240), progress=False)


def test_it_learns_texts(fitted: Classifier) -> None:
    fresh, truth = texts(60, seed=1)
    figures = fitted.evaluate(fresh, truth)
    assert figures["accuracy"] > 0.97 and set(figures) == {"loss", "accuracy", "macro_f1", "log_loss", "calibration_error"}
    assert figures["loss"] == pytest.approx(figures["log_loss"], rel=1e-4)
    right = np.mean(np.array(fitted.predict(fresh)) == truth)
    assert fitted.score(fresh, truth) == figures["accuracy"] == pytest.approx(right)
    p = fitted.predict_proba(fresh)
    assert p.shape == (60, 2) and fitted.classes_.tolist() == ["bad", "good"]
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert fitted.predict(fresh) == fitted.classes_[p.argmax(1)].tolist()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_learns_series_by_every_pooling(pooling: str, bidirectional: bool) -> None:
    task = Classifier(**{**SMALL, "epochs": 6}, pooling=pooling, bidirectional=bidirectional).fit(*series(200), progress=False)
    assert task.evaluate(*series(80, seed=1))["accuracy"] > 0.95
    assert set(task.predict(series(5)[0])) <= {0, 1}


@pytest.mark.parametrize("level", ["characters", "subwords"])
def test_other_levels_are_learnt_and_saved(level: str, tmp_path) -> None:
    (x, _), (fresh, _) = texts(200), texts(60, seed=1)
    task = Classifier(**SMALL, level=level, vocabulary_size=40, pooling="max")
    task.fit(x, ["good" in text for text in x], progress=False).save(tmp_path / "m")
    assert task.score(fresh, ["good" in text for text in fresh]) > 0.97
    np.testing.assert_array_equal(Classifier.load(tmp_path / "m").predict_proba(fresh), task.predict_proba(fresh))


def test_saved_and_loaded_it_answers_the_same(fitted: Classifier, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    again = recell.load(tmp_path / "m")
    assert isinstance(again, Classifier)
    assert again.evaluate(*texts(40, seed=2)) == fitted.evaluate(*texts(40, seed=2))
    scaled = Classifier(**{**SMALL, "steps": 3, "epochs": None}, class_weight={0: 2.0}).fit(*series(30), progress=False)
    scaled.save(tmp_path / "s")
    np.testing.assert_array_equal(Classifier.load(tmp_path / "s").predict_proba(series(9)[0]), scaled.predict_proba(series(9)[0]))
    assert Classifier.load(tmp_path / "s").evaluate(*series(9)) == scaled.evaluate(*series(9))


def test_the_decision_grows_word_by_word(fitted: Classifier) -> None:
    seen = fitted.grows("the film was not good !")
    assert [word for word, _ in seen] == ["the", "film", "was", "not", "good", "!"]
    for end, (_, probabilities) in enumerate(seen, 1):
        read = " ".join("the film was not good !".split()[:end])
        assert probabilities == pytest.approx(dict(zip(["bad", "good"], fitted.predict_proba([read])[0].tolist(), strict=True)))
    assert seen[-1][1]["bad"] > 0.9
    assert [word for word, _ in fitted.grows("good, good")] == ["good", ",", "good"]


def test_a_series_grows_step_by_step() -> None:
    task = Classifier(**{**SMALL, "epochs": 2}).fit(*series(60), progress=False)
    x = series(1)[0][0]
    seen = task.grows(x)
    assert [step for step, _ in seen] == list(range(1, len(x) + 1))
    assert seen[-1][1][0] == pytest.approx(float(task.predict_proba([x])[0, 0]))


def test_attention_finds_the_word_that_matters() -> None:
    rng = np.random.default_rng(0)
    fillers = [[f"w{i}" for i in rng.integers(0, 9, rng.integers(2, 7))] for _ in range(200)]
    labels = rng.integers(2, size=200)
    for line, label in zip(fillers, labels, strict=True):
        line.insert(int(rng.integers(len(line) + 1)), ("bad", "good")[label])
    sentences = [" ".join(line) for line in fillers]
    options = {**SMALL, "hidden_size": 8, "epochs": 15, "validation_fraction": 0}
    task = Classifier(**options, pooling="attention").fit(sentences, labels, progress=False)
    found = task.attention(sentences)
    for line, weights in zip(fillers, found, strict=True):
        assert weights.shape == (len(line),) and weights.sum() == pytest.approx(1, abs=1e-5)
    heaviest = [line[int(weights.argmax())] for line, weights in zip(fillers, found, strict=True)]
    assert np.mean([word in ("bad", "good") for word in heaviest]) > 0.4  # chance: one word in five
    with pytest.raises(RecellError, match="attention"):
        Classifier(**{**SMALL, "epochs": 1}).fit(*texts(30), progress=False).attention(["good"])


def several(count: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    rng = np.random.default_rng(seed)
    labels = [[name for name in ("long", "sad", "loud") if rng.random() < 0.4] for _ in range(count)]
    return [" ".join(["a", *rng.permutation([*names, "film"])]) for names in labels], labels


def test_several_labels_or_none_for_each() -> None:
    task = Classifier(**SMALL, threshold=0.4, class_weight="balanced").fit(*several(200), progress=False)
    x, y = several(50, seed=1)
    answers = task.predict(x)
    assert [sorted(a) for a in answers] == [sorted(b) for b in y]
    figures = task.evaluate(x, y)
    assert figures["accuracy"] == figures["macro_f1"] == task.score(x, y) == 1
    assert task.predict_proba(x).shape == (50, 3) and "loud" in task.report((*zip(x, y, strict=True),))


def test_an_indicator_matrix_is_read_and_given_back(tmp_path) -> None:
    names = ["long", "sad", "loud"]
    form = lambda labels: np.array([[name in row for name in names] + [False] for row in labels])  # noqa: E731
    (x, y), (fresh, truth) = several(200), several(50, seed=1)
    task = Classifier(**SMALL, class_weight="balanced").fit(x, form(y), validation=(fresh, form(truth)), progress=False)
    assert task.classes_.tolist() == [0, 1, 2, 3]  # the last is nowhere, and is a column all the same
    np.testing.assert_array_equal(task.predict(fresh), form(truth))
    np.testing.assert_array_equal(np.array(list(task.predict(iter(fresh)))), form(truth))
    figures = task.evaluate(fresh, form(truth).astype(float))
    assert figures["accuracy"] == 1 and figures["macro_f1"] == 0.75  # scikit-learn counts the empty column as 0
    task.save(tmp_path / "m")
    np.testing.assert_array_equal(Classifier.load(tmp_path / "m").predict(fresh), form(truth))
    assert task.predict([]).shape == (0, 4)
    with pytest.raises(DataError, match="3 columns"):
        task.evaluate(fresh, form(truth)[:, :3])
    with pytest.raises(DataError, match="twice"):
        Classifier(**SMALL).fit(x, form(y).astype(int).tolist(), progress=False)
    with pytest.raises(DataError, match="0 and 1"):
        Classifier(**SMALL).fit(x, form(y) * 2, progress=False)


@pytest.mark.parametrize("one", [lambda y: y[:, None], lambda y: (y > 0)[:, None], lambda y: y > 0])
def test_a_column_and_truth_values_are_one_label_each(one) -> None:
    x, y = series(60)
    task = Classifier(**{**SMALL, "epochs": 1}).fit(x, one(np.array(y)), progress=False)
    said = task.predict(x)
    assert isinstance(said, list) and {type(label) for label in said} <= {type(one(np.array(y)).ravel().tolist()[0])}
    assert task.score(x, one(np.array(y))) == np.mean(np.array(said) == y)


def test_weights_move_decisions_to_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    x = [np.full((3, 1), value) + rng.normal(0, 1, (3, 1)) for value in [0.0] * 180 + [1.0] * 20]
    y = ["common"] * 180 + ["rare"] * 20
    said = [Classifier(**{**SMALL, "epochs": 4}, class_weight=weight).fit(x, y, progress=False).predict(x).count("rare")
            for weight in (None, "balanced", {"rare": 100.0})]  # fmt: skip
    assert said[0] < said[1] <= said[2]


def test_smoothed_labels_make_it_less_certain() -> None:
    x, y = series(120)
    rates = {**SMALL, "epochs": 20, "validation_fraction": 0}
    plain, smooth = (Classifier(**rates, label_smoothing=rate).fit(x, y, progress=False) for rate in (0.0, 0.3))
    assert smooth.predict_proba(x).max(1).mean() < 0.93 < plain.predict_proba(x).max(1).mean()


def test_a_label_that_one_example_has_is_learnt_not_held_out() -> None:
    x, y = texts(30)
    for place in range(30):
        labels = [*y]
        labels[place] = "odd"
        task = Classifier(**{**SMALL, "steps": 1, "epochs": None}, validation_fraction=0.4).fit(x, labels, progress=False)
        assert "odd" in task.classes_


def test_where_every_example_has_a_label_of_its_own_it_is_said_that_nothing_is_held_out(capsys) -> None:
    x, options = [f"film {n}" for n in range(20)], {**SMALL, "steps": 1, "epochs": None}
    task = Classifier(**options).fit(x, range(20), progress=Quiet())
    said = capsys.readouterr().err
    assert said.startswith("each example that was drawn to be held out has a label") and said.count("\n") == 1
    assert len(task.classes_) == 20 and not any("validation" in record for record in task.history_)
    for patient in ({"patience": 2}, {"plan": {"patience": 2}}):
        with pytest.raises(RecellError, match="nothing is left to validate on; came patience=2; write validation="):
            Classifier(**options, **patient).fit(x, range(20), progress=False)
    Classifier(**options, validation_fraction=0).fit(x, range(20), progress=Quiet())
    Classifier(**options).fit(x, [0, 1] * 10, progress=Quiet())
    assert capsys.readouterr().err == ""


def test_a_tab_within_a_text_that_is_asked_about_is_of_the_text(fitted: Classifier, tmp_path) -> None:
    (tmp_path / "asked.txt").write_text("the film was not\tgood !\nbad\tthe film was good !\n", encoding="utf-8")
    shown = list(fitted.answers(tmp_path / "asked.txt"))
    assert shown == [("the film was not\tgood !", "bad"), ("the film was good !", "good")]


def test_a_label_that_training_never_saw_counts_as_missed_in_score(fitted: Classifier) -> None:
    from sklearn.model_selection import KFold, cross_val_score

    x, y = texts(20)
    half = fitted.score([*x, *x], [*y, *["strange"] * 20])
    assert half == fitted.score(x, y) / 2 == fitted.evaluate(x, y)["accuracy"] / 2 > 0.4
    short = {**SMALL, "steps": 2, "epochs": None}
    options: dict[str, Any] = {"cv": KFold(4), "params": {"progress": False}, "error_score": "raise"}
    folds = cross_val_score(Classifier(**short), x, [*y[:19], "odd"], **options)
    assert len(folds) == 4 and 0 <= folds.min()
    task = Classifier(**short).fit(x, [[name] for name in y], progress=False)
    rows = [[name] for name in y]
    assert task.score(x, [[*row, "strange"] for row in rows]) == task.score(x, rows) == task.evaluate(x, rows)["macro_f1"]
    with pytest.raises(DataError, match="training never saw the label 'strange'"):
        task.evaluate(x[:1], [["strange"]])


def test_what_cannot_be_learnt_or_measured_is_refused(fitted: Classifier) -> None:
    x, y = texts(20)
    with pytest.raises(DataError, match="only 'good'"):
        Classifier(**SMALL).fit(x, ["good"] * 20, progress=False)
    with pytest.raises(DataError, match="one type; came '1' and 1"):
        Classifier(**SMALL).fit(x, ["1", 1] * 10, progress=False)
    with pytest.raises(DataError, match="a list for each"):
        Classifier(**SMALL).fit(x, [["good"], *y[1:]], progress=False)
    with pytest.raises(DataError, match="example 2: training never saw the label 'strange'"):
        fitted.evaluate(["good", "bad"], ["good", "strange"])
    with pytest.raises(DataError, match="example 1: training never saw the label 'strange'"):
        Classifier(**SMALL).fit(x, y, validation=(["good"], ["strange"]), progress=False)
    with pytest.raises(DataError, match="empty text"):
        fitted.predict(["good", ""])
    with pytest.raises(DataError, match="reads texts"):
        fitted.predict([np.ones((2, 3))])
    with pytest.raises(DataError, match="one label for each"):
        fitted.evaluate(["good"], [["good"]])
    with pytest.raises(ModelError, match="not trained"):
        Classifier().predict_proba(x)
    task = Classifier(**{**SMALL, "steps": 1, "epochs": None}).fit(*series(20), progress=False)
    with pytest.raises(DataError, match="3 channels"):
        task.predict([np.ones((2, 3))])
    with pytest.raises(DataError, match="no number"):
        task.predict([np.array([[1.0, np.nan]])])


@pytest.mark.parametrize("options", [{"level": "letters"}, {"pooling": "sum"}, {"scale": "pixels"}, {"threshold": 1},
                                     {"embedding_size": 0}, {"class_weight": "even"}, {"class_weight": {"odd": 1}},
                                     {"class_weight": {"good": -1}}, {"cell": "Jordan"}, {"unknown_rate": -1},
                                     {"bidirectional": "no"}])  # fmt: skip
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(RecellError) as refused:
        Classifier(**{**SMALL, **options}).fit(*texts(20), progress=False)
    assert "\n" not in str(refused.value)


def test_a_cell_that_brings_its_output_layer() -> None:
    options = {**SMALL, "cell": "Jordan", "pooling": "mean", "dropout": 0.9}
    task: Any = Classifier(**options, bidirectional=False).fit(*series(200), progress=False)
    assert task.evaluate(*series(60, seed=1))["accuracy"] > 0.98
    network, codec = task.network_, task.codec_
    batch = codec.batch([codec.encode(example, labelled=True) for example in task._labelled(*series(20))])
    learning = network.train().scores(batch)
    assert torch.equal(learning, network.eval().scores(batch))  # what it brings are scores: nothing drops them


def test_a_seed_is_a_training_and_resumed_it_ends_with_the_very_bits(tmp_path, monkeypatch) -> None:
    from recell.tasks._classes import ClassNetwork

    options = {**SMALL, "epochs": None, "steps": 12, "plan": {"checkpoint_every": 3}}
    whole = Classifier(**options).fit(*texts(60), progress=False)
    taken, step = ClassNetwork.loss, [0]

    def breaks(self, batch):
        step[0] += self.training
        if step[0] == 8:
            raise RuntimeError("the power is gone")
        return taken(self, batch)

    monkeypatch.setattr(ClassNetwork, "loss", breaks)
    with pytest.raises(RuntimeError):
        Classifier(**options).fit(*texts(60), out=tmp_path / "m", progress=False)
    monkeypatch.setattr(ClassNetwork, "loss", taken)
    again = Classifier(**options).fit(*texts(60), out=tmp_path / "m", resume=True, progress=False)
    for a, b in zip(whole.network_.state_dict().values(), again.network_.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_file_read_in_a_stream_trains_as_well(tmp_path) -> None:
    x, y = texts(240)
    (tmp_path / "train.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in zip(x, y, strict=True)), encoding="utf-8")
    task = Classifier(**SMALL, stream=True, validation_fraction=0).fit(tmp_path / "train.tsv", progress=False)
    assert task.score(*texts(60, seed=1)) > 0.95
    assert task.predict(tmp_path / "train.tsv") == task.predict(x)


def test_the_command_line_trains_evaluates_and_answers(tmp_path, capsys) -> None:
    from recell.cli.run import run

    x, y = texts(60)
    (tmp_path / "data.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in zip(x, y, strict=True)), encoding="utf-8")
    options = ["--hidden-size", "8", "--epochs", "3", "--threads", "1", "--set", "pooling=max", "--quiet"]
    assert run(["train", "classifier", str(tmp_path / "data.tsv"), "--out", str(tmp_path / "m"), *options]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "m"), str(tmp_path / "data.tsv")]) == 0
    shown = capsys.readouterr().out
    assert "accuracy" in shown and "precision" in shown and "true \\ said" in shown
    assert run(["predict", str(tmp_path / "m"), str(tmp_path / "data.tsv")]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows == [[text, answer] for text, answer in zip(x, Classifier.load(tmp_path / "m").predict(x), strict=True)]


def test_texts_that_are_not_utf8_are_learnt_where_the_option_says_so(tmp_path, capsys) -> None:
    from recell.cli.run import run

    for name, text in (("rt.neg", b"a bore\nna\xefve\n"), ("rt.pos", b"caf\xe9\nfine\n")):
        (tmp_path / name).write_bytes(text * 5)
    out = tmp_path / "out"
    asked = ["train", "classifier", str(tmp_path), "--out", str(out), "--steps", "1", "--hidden-size", "4", "--quiet"]
    assert run(asked) == 2
    assert "is not UTF-8" in (said := capsys.readouterr().err) and "encoding_errors='replace'" in said and said.count("\n") == 1
    assert run([*asked, "--set", "encoding_errors=replace"]) == 0
    model = Classifier.load(out)
    assert model.encoding_errors == "replace" and "\ufffd" in model.codec_.reader.vocabulary
    capsys.readouterr()
    assert run(["predict", str(out), str(tmp_path / "rt.pos")]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["caf\ufffd", "fine"] * 5
    with pytest.raises(RecellError, match="encoding_errors"):
        Classifier(encoding_errors="ignore").fit(*texts(9), progress=False)


def test_scikit_learn_divides_by_class() -> None:
    base = pytest.importorskip("sklearn.base")
    selection = pytest.importorskip("sklearn.model_selection")
    assert base.is_classifier(Classifier()) and not base.is_regressor(Classifier())
    x, y = series(40)
    order = np.argsort(y, kind="stable")
    x, y = [x[place] for place in order], [f"class {y[place]}" for place in order]
    task = Classifier(**{**SMALL, "epochs": 3}, validation_fraction=0)
    for scoring in (None, "accuracy", "f1_macro", "neg_log_loss", "roc_auc"):
        found = selection.cross_val_score(task, x, y, cv=2, scoring=scoring, params={"progress": False}, error_score="raise")
        assert np.isfinite(found).all()
    lists = [[label, "any"] if label == "class 0" else [label] for label in y]
    with pytest.raises(ValueError, match="multi-label"):
        selection.cross_val_score(task, x, lists, cv=2, params={"progress": False})
    matrix = np.array([[label == "class 0", label == "class 1"] for label in y])
    for marks, cv in ((lists, selection.KFold(2, shuffle=True, random_state=0)), (matrix, 2)):
        search = selection.GridSearchCV(task, {"pooling": ["mean"]}, cv=cv, error_score="raise").fit(x, marks, progress=False)
        assert np.isfinite(search.best_score_)


def test_scikit_learn_searches_over_series() -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = series(60)
    task = Classifier(**{**SMALL, "epochs": 3}, validation_fraction=0)
    search = selection.GridSearchCV(task, {"pooling": ["last", "mean"]}, cv=3, error_score="raise")
    search.fit(x, y, progress=False)
    assert search.best_score_ > 0.8 and search.predict(x) == search.best_estimator_.predict(x)


@pytest.mark.parametrize("entry", ["several", "columns"])
def test_a_config_that_does_not_say_what_its_labels_are_is_damaged(fitted: Classifier, entry: str) -> None:
    described = fitted._fitted()[1].to_json()
    assert fitted._codec_of(described).to_json() == described
    with pytest.raises(ModelError, match="config.json is damaged: the codec's columns are not its classes"):
        fitted._codec_of({name: value for name, value in described.items() if name != entry})
