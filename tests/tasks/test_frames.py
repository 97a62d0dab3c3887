"""Frames on pieces that a rule makes: what follows must be learnt, and the figures are what their definitions say."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell import cells
from recell.errors import DataError, ModelError, RecellError, ShapeError
from recell.tasks import Frames
from recell.tasks._frames import transposed

SMALL: dict[str, Any] = {"cell": "GRU", "hidden_size": 16, "dropout": 0.0, "batch_size": 8, "epochs": 30, "learning_rate": 0.02,
                         "threads": 1}  # fmt: skip


def pieces(count: int, seed: int = 0, noise: float = 0.1) -> list[np.ndarray]:
    """A key that climbs, the one two above it sounding at every second step, and a key that sounds by chance."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        frames = np.zeros((rng.integers(4, 9), 7), np.float32)
        at = rng.integers(6)
        for t in range(len(frames)):
            frames[t, (at + t) % 6] = 1
            frames[t, (at + t + 2) % 6] = t % 2
        frames[:, 6] = rng.random(len(frames)) < noise
        made.append(frames)
    return made


@pytest.fixture(scope="module")
def fitted() -> Frames:
    return Frames(**SMALL).fit(pieces(120), progress=False)


def nats(p: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.where(truth > 0, p, 1 - p)).sum())


def test_it_comes_near_the_entropy_of_what_is_drawn(fitted: Frames) -> None:
    figures = fitted.evaluate(pieces(60, seed=1))
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert set(figures) == {"loss", "nll_per_step", "frame_accuracy"}
    assert entropy - 0.05 < figures["nll_per_step"] < entropy + 0.25 and figures["frame_accuracy"] > 0.85
    assert figures["loss"] == pytest.approx(figures["nll_per_step"], rel=1e-5) == -fitted.score(pieces(60, seed=1))


def test_the_figure_is_the_probability_of_each_frame_given_those_before(fitted: Frames) -> None:
    asked = pieces(5, seed=2)
    total, steps = 0.0, 0
    for piece in asked:
        before = fitted.predict([piece[:t] for t in range(1, len(piece))])
        total += sum(nats(p.astype(np.float64), frame) for p, frame in zip(before, piece[1:], strict=True))
        steps += len(piece) - 1
    assert fitted.evaluate(asked)["nll_per_step"] == pytest.approx(total / steps, rel=1e-4)


def test_each_step_has_its_probabilities(fitted: Frames) -> None:
    asked = pieces(70, seed=2)
    said = fitted.predict_proba(asked)
    assert [p.shape for p in said] == [piece.shape for piece in asked]
    for p, piece in zip(said[:4], asked, strict=False):
        np.testing.assert_allclose(p, fitted.predict([piece[:t] for t in range(1, len(piece) + 1)]), atol=1e-5)
    total = sum(nats(p[:-1].astype(np.float64), piece[1:]) for p, piece in zip(said, asked, strict=True))
    assert fitted.evaluate(asked)["nll_per_step"] == pytest.approx(total / sum(len(piece) - 1 for piece in asked), rel=1e-4)
    assert fitted.predict_proba([]) == []
    with pytest.raises(RecellError, match="keys have probabilities.*predict_proba"):
        fitted.predict_normal(asked)


def test_the_report_is_of_every_key(fitted: Frames) -> None:
    asked = pieces(60, seed=1)
    table = {row.split()[0]: row.split()[1:] for row in fitted.report(asked).splitlines()}
    assert list(table) == ["key", *map(str, range(7)), "all"]
    assert min(float(table[str(key)][2]) for key in range(6)) > 0.85  # a rule says when these sound, chance when 6 does
    assert float(table["6"][4]) == pytest.approx(-(0.1 * math.log(0.1) + 0.9 * math.log(0.9)), abs=0.12)
    assert float(table["all"][4]) == pytest.approx(fitted.evaluate(asked)["nll_per_step"], abs=6e-5)
    assert sum(int(table[str(key)][3]) for key in range(7)) == sum(int(piece[1:].sum()) for piece in asked)
    with pytest.raises(DataError, match="came no example"):
        fitted.report([])


def test_frames_are_drawn_with_the_probabilities_foretold(fitted: Frames) -> None:
    prompt = pieces(1, seed=3)[0]
    assert np.array_equal(fitted.generate(prompt, 9, seed=4), fitted.generate(prompt, 9, seed=4))
    drawn = np.array([fitted.generate(prompt, 2, seed=seed) for seed in range(400)])
    assert drawn.shape == (400, 2, 7) and set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn[:, 0].mean(0), fitted.predict([prompt])[0], atol=0.09)
    long = fitted.generate(prompt[:2], 12, seed=0)
    assert np.mean(long[:, :6].sum(1) >= 1) > 0.8
    assert fitted.generate(prompt, 0).shape == (0, 7)
    with pytest.raises(DataError, match="seed is a whole number from 0"):
        fitted.generate(prompt, 2, seed=-1)


def test_real_frames_have_a_density_in_their_own_units() -> None:
    rng = np.random.default_rng(0)

    def walks(count: int, unit: float) -> list[np.ndarray]:
        return [1000 + unit * rng.normal(0, [1, 0.5], (rng.integers(20, 30), 2)).cumsum(0) for _ in range(count)]

    small = {**SMALL, "values": "real", "epochs": 25}
    figures = Frames(**small).fit(walks(60, 1.0), progress=False).evaluate(walks(30, 1.0))
    entropy = math.log(1.0) + math.log(0.5) + 2 * (0.5 + math.log(2 * math.pi) / 2)
    assert entropy - 0.1 < figures["nll_per_step"] < entropy + 0.6
    assert figures["loss"] == pytest.approx(figures["nll_per_step"], rel=1e-4)
    assert figures["rmse"] == pytest.approx(math.sqrt((1 + 0.25) / 2), rel=0.25)
    task, asked = Frames(**small).fit(walks(60, 1.0), progress=False), walks(4, 1.0)
    for piece, (mean, deviation) in zip(asked, task.predict_normal(asked), strict=True):
        np.testing.assert_allclose(mean[-1], task.predict([piece])[0], rtol=1e-6)
        np.testing.assert_allclose(np.median(deviation, 0), [1, 0.5], rtol=0.3)
        assert np.abs((piece[1:] - mean[:-1]) / deviation[:-1]).mean() == pytest.approx(math.sqrt(2 / math.pi), abs=0.35)
    assert [row.split()[0] for row in task.report(asked).splitlines()] == ["feature", "0", "1"]
    with pytest.raises(RecellError, match="real frames have no probabilities.*predict_normal"):
        task.predict_proba(asked)
    wide = Frames(**small).fit(walks(60, 50.0), progress=False)
    assert wide.evaluate(walks(30, 50.0))["nll_per_step"] == pytest.approx(figures["nll_per_step"] + 2 * math.log(50), abs=0.6)
    assert np.abs(wide.generate(walks(1, 50.0)[0], 5, seed=0) - 1000).max() < 2000


def test_transposing_shifts_whole_pieces_by_all_numbers_of_keys() -> None:
    torch.manual_seed(0)
    frames = torch.rand(5, 300, 9)
    made, seen = transposed(frames, 2), set()
    for n in range(300):
        padded = torch.nn.functional.pad(frames[:, n], (2, 2))
        matches = [k for k in range(-2, 3) if torch.equal(made[:, n], padded[:, 2 - k : 11 - k])]
        assert len(matches) == 1
        seen.update(matches)
    assert seen == {-2, -1, 0, 1, 2}


def test_transposing_teaches_keys_that_were_never_played() -> None:
    def climbs(low: int) -> np.ndarray:
        return np.eye(9, dtype=np.float32)[[low, low + 1, low + 2, low, low + 1, low + 2]]

    learnt = [climbs(3), climbs(4)] * 30
    options = {**SMALL, "validation_fraction": 0.0}
    plain, shifted = (Frames(**options, transpose=k).fit(learnt, progress=False).evaluate([climbs(0)]) for k in (0, 4))
    assert shifted["nll_per_step"] < plain["nll_per_step"] / 3


@pytest.mark.parametrize("name", ["Jordan", "SLSTM", "LRU", "PhasedLSTM", "Clockwork"])
def test_cells_of_every_kind_learn(name: str) -> None:
    assert name in cells.names()
    task = Frames(**{**SMALL, "epochs": 4, "cell": name, "dropout": 0.1}).fit(pieces(60), progress=False)
    losses = [record["validation"]["loss"] for record in task.history_ if "validation" in record]
    assert losses[-1] < losses[0] and math.isfinite(task.evaluate(pieces(5, seed=1))["nll_per_step"])
    assert task.generate(pieces(1)[0], 3, seed=1).shape == (3, 7)


def test_saved_and_loaded_it_says_and_draws_the_same(fitted: Frames, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    again = recell.load(tmp_path / "model")
    asked = pieces(6, seed=5)
    assert again.evaluate(asked) == fitted.evaluate(asked)
    assert np.array_equal(again.generate(asked[0], 6, seed=1), fitted.generate(asked[0], 6, seed=1))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["codec"].pop("mean")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        recell.load(tmp_path / "model")


def test_broken_off_and_resumed_it_ends_with_the_very_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**SMALL, "epochs": None, "steps": 20, "dropout": 0.3, "transpose": 1, "plan": {"checkpoint_every": 4}}
    whole = Frames(**options).fit(pieces(40), out=tmp_path / "whole", progress=False)
    monkeypatch.setattr("recell.tasks._frames.transposed", stops_at(13))
    with pytest.raises(RuntimeError):
        Frames(**options).fit(pieces(40), out=tmp_path / "broken", progress=False)
    monkeypatch.undo()
    again = Frames(**options).fit(pieces(40), out=tmp_path / "broken", resume=True, progress=False)
    for one, two in zip(whole.network_.parameters(), again.network_.parameters(), strict=True):
        assert torch.equal(one, two)


def stops_at(call: int) -> Any:
    calls = iter(range(1, call))

    def limited(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise RuntimeError("the power is gone")
        return transposed(*arguments)

    return limited


def test_a_file_in_a_stream_and_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from recell.cli.run import run

    path = tmp_path / "pieces.jsonl"
    rows = [{"split": "train" if n < 40 else "test", "steps": [np.flatnonzero(frame).tolist() for frame in piece]}
            for n, piece in enumerate(pieces(60))]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    options = {**SMALL, "keys": 7, "epochs": 2, "validation_fraction": 0.0}
    whole = Frames(**options).fit(f"{path}#train", progress=False)
    streamed = Frames(**options, stream=True).fit(f"{path}#train", progress=False)
    found = [task.evaluate(f"{path}#test")["nll_per_step"] for task in (whole, streamed)]
    assert found[1] == pytest.approx(found[0], rel=0.3)
    model = tmp_path / "model"
    sets = ["--set", "keys=7", "--hidden-size", "8", "--epochs", "1", "--quiet"]
    assert run(["train", "frames", f"{path}#train", "--out", str(model), "--validation", f"{path}#test", *sets]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(model), f"{path}#test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nll_per_step"] > 0
    assert run(["evaluate", str(model), f"{path}#test"]) == 0
    assert re.search(r"^ *key +precision.*\n +0 .*\n", capsys.readouterr().out, re.MULTILINE)
    assert run(["predict", str(model), f"{path}#test", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[0])["output"]) == 7


def test_it_is_an_estimator_for_searches() -> None:
    from sklearn.model_selection import GridSearchCV

    options = {**SMALL, "epochs": 3, "validation_fraction": 0.0}
    search = GridSearchCV(Frames(**options), {"learning_rate": [1e-5, 0.03]}, cv=2)
    search.fit(pieces(40), progress=False)
    assert search.best_params_ == {"learning_rate": 0.03} and search.best_score_ < 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([np.zeros((3, 7)), np.zeros((4, 6))], r"sequence 2 has frames unlike the others; came 6 values"),
        ([np.zeros((3, 7)), np.full((4, 7), 0.5)], r"sequence 2: a binary frame holds 0 and 1 alone; came 0\.5"),
        ([np.zeros((3, 7)), np.full((4, 7), np.nan)], "sequence 2, step 1 has a value that is no number"),
        ([np.zeros((3, 7)), np.zeros((1, 7))], "sequence 2 has nothing to foretell; came one frame"),
        ([], "came no example"),
    ],
)
def test_bad_data_is_refused(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Frames(**SMALL, validation_fraction=0.0).fit(data, progress=False)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"values": "bits"}, "no kind of values"),
        ({"transpose": -1}, "transpose counts keys"),
        ({"transpose": 2, "values": "real"}, "only keys can be transposed"),
        ({"input_dropout": 1.0}, "below 1"),
        ({"cell": "Jordan", "num_layers": 2}, "Jordan brings its own output layer"),
    ],
)
def test_bad_options_are_refused(option: dict[str, Any], said: str) -> None:
    with pytest.raises(RecellError, match=said):
        Frames(**{**SMALL, **option}).fit(pieces(10), progress=False)


def test_the_keys_of_a_transposition_may_be_counted_by_numpy() -> None:
    assert Frames(**SMALL, transpose=np.int64(2))._check().name == SMALL.get("cell", "LSTM")


def test_what_a_trained_one_cannot_do_is_refused(fitted: Frames) -> None:
    with pytest.raises(DataError, match="came 6 values"):
        fitted.evaluate([np.zeros((3, 6))])
    with pytest.raises(DataError, match="their own labels"):
        fitted.evaluate(pieces(2), [1, 2])
    for length in (-1, 2.5, True):
        with pytest.raises(ShapeError, match="length counts frames"):
            fitted.generate(pieces(1)[0], length)
