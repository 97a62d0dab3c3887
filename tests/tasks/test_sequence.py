"""What every task on sequences gets from its base, tried on a small one: does a series sum to more than 0?"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import recell.tasks
from recell.data import captions, frames, key_terms, labelled, sentences
from recell.errors import CellError, DataError, ModelError, RecellError, ShapeError
from recell.nn import Recurrent
from recell.runtime.saved import CONFIG, config_hash, read_saved
from recell.tasks import _sequence
from recell.tasks._sequence import SequenceNetwork, SequenceTask
from recell.training import Loss

Series = tuple[list[float], int | None]


@dataclass(frozen=True)
class Item:
    values: np.ndarray
    label: int


class SignCodec:
    unit = "series"

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def encode(self, example: Series, *, labelled: bool) -> Item:
        return Item(np.array(example[0], np.float32) / self.scale, int(example[1]) if labelled else 0)  # type: ignore[arg-type]

    def length(self, item: Item) -> int:
        return len(item.values)

    def batch(self, items: list[Item]) -> dict[str, Tensor]:
        lengths = torch.tensor([len(item.values) for item in items])
        x = torch.zeros(int(lengths.max()), len(items), 1)
        for n, item in enumerate(items):
            x[: len(item.values), n, 0] = torch.from_numpy(item.values)
        return {"x": x, "lengths": lengths, "labels": torch.tensor([item.label for item in items])}

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale}


class SignNetwork(SequenceNetwork):
    def __init__(self, cell, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.recurrent, self.dropout = Recurrent(cell, 1, hidden_size), nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, 2)

    def scores(self, batch) -> Tensor:
        y, _ = self.recurrent(batch["x"], lengths=batch["lengths"])
        last = y[batch["lengths"] - 1, torch.arange(y.shape[1])]
        return self.output(self.dropout(last))

    def loss(self, batch) -> Loss:
        return Loss(functional.cross_entropy(self.scores(batch), batch["labels"]), len(batch["labels"]))

    def answer(self, batch) -> list[int]:
        return self.scores(batch).argmax(1).tolist()


class Sign(SequenceTask):
    def __init__(self, *, cell="GRU", hidden_size=8, num_layers=1, sizes=None, dropout=0.1, modifiers=(), batch_size=16,
                 steps=None, epochs=None, optimizer="adamw", learning_rate=0.01, validation_fraction=0.2, patience=None,
                 plan=None, seed=0, threads=1, device="cpu", backend="auto", stream=False) -> None:  # fmt: skip
        for name, value in list(locals().items()):
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    def _check(self):
        return self._check_sequence()

    def _labelled(self, data, labels):
        return data if labels is None else list(zip(data, labels, strict=True))

    def _unlabelled(self, data):
        return ((x, None) for x in data)

    def _learn_codec(self, examples):
        return SignCodec(max(abs(v) for x, _ in examples for v in x))

    def _codec_of(self, described):
        return SignCodec(described["scale"])

    def _build(self, cell, codec):
        return SignNetwork(cell, self.hidden_size, self.dropout)

    def _counts(self, codec, examples, answers):
        right = sum(label == answer for (_, label), answer in zip(examples, answers, strict=True))
        return {"right": right, "examples": len(examples)}

    def _figures(self, codec, counts):
        return {"accuracy": counts["right"] / counts["examples"]}

    def _main_figure(self, codec):
        return "accuracy"

    def _readable(self, codec, example, answer):
        return answer


@pytest.mark.parametrize("lacking", ["loss", "answer"])
def test_a_network_that_lacks_a_method_is_refused_when_it_is_made(lacking: str) -> None:
    half = type("Half", (SequenceNetwork,), {name: getattr(SignNetwork, name) for name in ("loss", "answer") if name != lacking})
    with pytest.raises(TypeError, match=rf"Half .*\b{lacking}\b"):
        half()


def data(count: int = 120, seed: int = 0) -> tuple[list[list[float]], list[int]]:
    rng = np.random.default_rng(seed)
    series = [rng.normal(rng.choice([-1, 1]), 1.5, rng.integers(1, 12)).tolist() for _ in range(count)]
    return series, [int(sum(x) > 0) for x in series]


def weights(task: Sign) -> dict[str, Tensor]:
    return task.network_.state_dict()


def same(one: Sign, two: Sign) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(two).values(), strict=True))


def test_it_learns_and_answers_in_order() -> None:
    x, y = data()
    task = Sign(epochs=20).fit(x, y, progress=False)
    fresh, truth = data(200, seed=9)
    figures = task.evaluate(fresh, truth)
    assert figures["accuracy"] > 0.93 and set(figures) == {"loss", "accuracy"}
    answers = task.predict(fresh)
    assert np.mean(np.array(answers) == truth) == pytest.approx(figures["accuracy"]) == task.score(fresh, truth)
    assert answers == [task.predict([one])[0] for one in fresh]


def test_an_iterator_is_answered_as_it_is_asked() -> None:
    x, y = data()
    task = Sign(epochs=1).fit(x, y, progress=False)
    answers = task.predict(iter(x))
    assert isinstance(answers, Iterator) and list(answers) == task.predict(x)


def test_the_first_answer_waits_for_a_window_alone() -> None:
    x, y = data()
    task = Sign(epochs=1).fit(x, y, progress=False)
    for options, wanted in (({"window": 1}, 1), ({"window": 7}, 7), ({}, task.batch_size)):
        read = 0

        def live() -> Iterator[list[float]]:
            nonlocal read
            for row in x:
                read += 1
                yield row

        answers = task.predict(live(), **options)
        assert read == 0
        next(answers)
        assert read == wanted
    assert task.predict(x, window=3) == task.predict(x)
    with pytest.raises(ShapeError, match="window is a whole number"):
        task.predict(x, window=0)


@pytest.mark.parametrize("name", ["Tagger", "Classifier", "Frames", "Captioner", "KeyTerms"])
def test_of_a_file_one_window_is_in_memory(name: str, tmp_path, monkeypatch) -> None:
    """Examples alive are counted, of a file of 90, while it trains, is measured, reported and answered for."""
    monkeypatch.setattr(_sequence, "WINDOW", 8)
    path, rows = tmp_path / "data", range(90)
    lines, reader = {
        "Tagger": ([f"word{n} B-x\nend{n % 9} O\n" for n in rows], sentences.Sentence),
        "Classifier": ([f"{'ab'[n % 2]}\tword{n} and {n % 7}" for n in rows], labelled.Labelled),
        "Frames": ([json.dumps({"steps": [[n % 5], [n % 3, 4], [1]]}) for n in rows], frames.Piece),
        "Captioner": ([json.dumps({"vector": [n, n % 3], "text": "ab"[n % 2]}) for n in rows], captions.Captioned),
        "KeyTerms": ([json.dumps({"text": f"the term{n} is.", "spans": [[4, 8, "Task"]]}) for n in rows], key_terms.Document),
    }[name]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    alive, most = weakref.WeakSet[Any](), 0
    made = reader.__init__

    def counted(self, *args: Any, **options: Any) -> None:
        nonlocal most
        made(self, *args, **options)
        alive.add(self)
        most = max(most, len(alive))

    monkeypatch.setattr(reader, "__init__", counted)
    task = getattr(recell.tasks, name)(hidden_size=4, steps=2, batch_size=2, stream=True, validation_fraction=0, threads=1)
    task.fit(path, validation=path, progress=False)
    assert task.evaluate(path).keys() > {"loss"}
    for _ in task.answers(path):
        pass
    task.predict(path)
    for further in ("predict_proba", "generate", "beams"):
        if name != "Frames" and hasattr(task, further):
            getattr(task, further)(path)
    assert task.report(path)
    assert 0 < most <= 3 * 8 + 2


def test_the_best_step_on_what_was_held_out_is_kept() -> None:
    x, y = data()
    task = Sign(epochs=6, learning_rate=0.05).fit(x, y, validation=data(60, seed=4), progress=False)
    seen = [record["validation"]["accuracy"] for record in task.history_ if "validation" in record]
    assert len(seen) == 6 and task.evaluate(*data(60, seed=4))["accuracy"] == max(seen)


def test_a_seed_is_a_training_and_torchs_own_numbers_are_untouched() -> None:
    x, y = data()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (Sign(epochs=2, seed=seed).fit(x, y, progress=False) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert same(one, two) and not same(one, other)


def test_broken_off_and_resumed_it_ends_with_the_very_bits(tmp_path, monkeypatch) -> None:
    x, y = data()
    whole = Sign(steps=30).fit(x, y, out=tmp_path / "whole", progress=False)
    taken, step = SignNetwork.loss, [0]

    def breaks(self, batch):
        step[0] += self.training
        if step[0] == 17:
            raise RuntimeError("the power is gone")
        return taken(self, batch)

    monkeypatch.setattr(SignNetwork, "loss", breaks)
    with pytest.raises(RuntimeError):
        Sign(steps=30, plan={"checkpoint_every": 5}).fit(x, y, out=tmp_path / "broken", progress=False)
    monkeypatch.setattr(SignNetwork, "loss", taken)
    again = Sign(steps=30, plan={"checkpoint_every": 5}).fit(x, y, out=tmp_path / "broken", resume=True, progress=False)
    assert same(whole, again)
    with pytest.raises(ModelError, match="other data"):
        other = [1 - v for v in y]
        Sign(steps=30, plan={"checkpoint_every": 5}).fit(x, other, out=tmp_path / "broken", resume=True, progress=False)


def test_it_is_resumed_with_the_same_held_out_data_alone(tmp_path) -> None:
    (x, y), (other, labels) = data(), data(20, seed=5)
    task = Sign(steps=4, plan={"checkpoint_every": 2})
    task.fit(x, y, validation=(other, labels), out=tmp_path, progress=False)
    for strange in ((other[:-1], labels[:-1]), (other, [1 - label for label in labels]), ([], [])):
        with pytest.raises(ModelError, match="held out other data .*; resume it with the same validation"):
            task.fit(x, y, validation=strange, out=tmp_path, resume=True, progress=False)
    task.fit(x, y, validation=(other, labels), out=tmp_path, resume=True, progress=False)


def test_saved_and_restored_it_answers_the_same(tmp_path) -> None:
    x, y = data()
    task = Sign(epochs=2, cell="LSTM", modifiers=["zoneout(h=0.1)"]).fit(x, y, progress=False).save(tmp_path / "m")
    saved = read_saved(tmp_path / "m")
    again = Sign()
    again.set_params(cell=task.cell_, hidden_size=8)
    again._restore(saved)
    assert again.predict(x) == task.predict(x) and again.cell_ == task.cell_ and again.steps_ == task.steps_
    with pytest.raises(ModelError, match="does not fit"):
        wrong = Sign(hidden_size=9)
        wrong._restore(saved)


@pytest.mark.parametrize(
    ("part", "value"),
    (
        (("codec",), {}), (("codec",), []), (("options", "hidden_size"), 10**11),
        (("options", "hidden_size"), 7), (("options", "num_layers"), 10**11), (("options", "modifiers"), 1.5),
        (("options", "optimizer"), []), (("trained", "steps"), "many"),
    ),
)  # fmt: skip
def test_a_changed_folder_whose_hash_fits_is_one_line(tmp_path, part, value) -> None:
    x, y = data(40)
    Sign(steps=1).fit(x, y, progress=False).save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / CONFIG).read_text())
    changed = config
    for name in part[:-1]:
        changed = changed[name]
    changed[part[-1]] = value
    (tmp_path / "m" / CONFIG).write_text(json.dumps(config | {"sha256": config_hash(config)}))
    saved = read_saved(tmp_path / "m")
    with pytest.raises(ModelError) as refused:
        Sign._of_saved(saved)
    assert "\n" not in str(refused.value)


class Reread:
    def __init__(self, x, y) -> None:
        self.examples = list(zip(x, y, strict=True))

    def __iter__(self):
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)


def test_a_source_read_anew_trains_too() -> None:
    x, y = data()
    task = Sign(epochs=12, validation_fraction=0, stream=True).fit(Reread(x, y), progress=False)
    assert task.evaluate(*data(200, seed=9))["accuracy"] > 0.9
    with pytest.raises(RecellError, match="validation"):
        Sign(stream=True).fit(Reread(x, y), progress=False)


def test_what_cannot_be_is_refused() -> None:
    x, y = data(10)
    for error, options in ((RecellError, {"batch_size": 0}), (CellError, {"modifiers": ["zoneut(h=0.1)"]}),
                           (RecellError, {"modifiers": "layer_norm"}), (RecellError, {"validation_fraction": 1.5}),
                           (RecellError, {"modifiers": 5}), (RecellError, {"optimizer": 5})):
        with pytest.raises(error) as refused:
            Sign(**options).fit(x, y, progress=False)
        assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="hold out"):
        Sign().fit(x[:1], y[:1], progress=False)
    with pytest.raises(DataError, match="no example"):
        Sign().fit([], [], progress=False)
    with pytest.raises(ModelError, match="not trained"):
        Sign().predict(x)


def test_scikit_learn_searches_over_ragged_lists() -> None:
    sklearn = pytest.importorskip("sklearn.model_selection")
    x, y = data(60)
    search = sklearn.GridSearchCV(Sign(steps=20, validation_fraction=0), {"hidden_size": [1, 6]}, cv=3, error_score="raise")
    search.fit(x, y, progress=False)
    assert search.best_estimator_.predict(x) == search.predict(x) and len(search.cv_results_["mean_test_score"]) == 2
    assert sklearn.cross_val_score(Sign(steps=5), x, y, cv=2, params={"progress": False}).shape == (2,)


@pytest.mark.parametrize("given", [{"patience": 2}, {"plan": {"patience": 2}}])
def test_patience_needs_something_held_out(given: dict[str, Any]) -> None:
    with pytest.raises(RecellError, match="nothing is held out to validate on; came patience=2; write validation=FILE"):
        Sign(validation_fraction=0, epochs=1, **given).fit(*data(20), progress=False)
