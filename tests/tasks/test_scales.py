"""What a network reads has mean 0 and deviation 1, and is never divided by what nothing can be divided by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell.data.captions import captioned_of
from recell.errors import DataError, ModelError
from recell.tasks import Captioner, Classifier, Frames, Tagger
from recell.tasks._inputs import reader_of
from recell.tasks._scales import Moments, scaled


def moments_of(values: np.ndarray, chunk: int) -> Moments:
    found = Moments()
    for start in range(0, len(values), chunk):
        found.add(values[start : start + chunk])
    return found


def test_values_have_mean_0_and_deviation_1_and_what_never_varies_stays_0() -> None:
    values = np.random.default_rng(0).normal(3, 2, (50, 4)) * [1, 1e3, 1e-3, 0] + [0, 5, 0, 7]
    mean, deviation = moments_of(values, 7).scale()
    found = (values - mean) / deviation
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), [1, 1, 1, 0], atol=1e-4)


def test_what_varies_by_less_than_float32_holds_is_divided_by_1() -> None:
    assert moments_of(np.array([1e-50, -1e-50]), 2).scale()[1] == 1


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_an_offset_costs_no_digits(chunk: int) -> None:
    stamps = 1.7e9 + np.random.default_rng(0).uniform(-1000, 1000, (1000, 2)) * [1, 1e-3]
    mean, deviation = moments_of(stamps, chunk).scale()
    np.testing.assert_allclose(mean, stamps.mean(0), rtol=1e-14)
    np.testing.assert_allclose(deviation, stamps.std(0), rtol=1e-4)
    found = scaled(stamps, mean, deviation, "here")
    assert len(np.unique(found[:, 0])) == 1000 and found.dtype == np.float32
    np.testing.assert_allclose(found, (stamps - stamps.mean(0)) / stamps.std(0), atol=1e-3)
    assert moments_of(np.full((1000, 1), 1.7e9 + 1 / 3), chunk).scale()[1] == 1


def test_all_columns_together() -> None:
    values = np.random.default_rng(0).normal(1e6, [1, 2, 3], (50, 3)) + [5, 0, -5]
    mean, deviation = moments_of(values, 8).pooled().scale()
    np.testing.assert_allclose([mean, deviation], [values.mean(), values.std()], rtol=1e-6)


def test_a_series_with_an_offset_is_learnt_as_one_without(tmp_path: Path) -> None:
    """Of each task that scales, from the file to the answer and back: both data differ in the offset alone."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(-1000, 1000, (9, 1)) / 4 for _ in range(12)]
    options: dict[str, Any] = {"hidden_size": 3, "steps": 3, "threads": 1, "validation_fraction": 0}
    answers: list[list[Any]] = []
    for offset in (0, 1.7e9):
        given = [row + offset for row in rows]
        ts, lines = tmp_path / f"{offset}.ts", tmp_path / f"{offset}.jsonl"
        ts.write_text("@data\n" + "".join(f"{','.join(map(repr, row[:, 0].tolist()))}:{n % 2}\n" for n, row in enumerate(given)))
        lines.write_text("".join(json.dumps({"frames": row.tolist()}) + "\n" for row in given))
        series = Classifier(**options).fit(ts, progress=False)
        frames = Frames(**options, values="real").fit(lines, progress=False)
        captions = Captioner(**options).fit([row[:, 0] for row in given], ["a", "b"] * 6, progress=False)
        values = captions.codec_.batch([captions.codec_.encode(e, labelled=True) for e in captioned_of(given[0].T, ["a"])])
        frames.save(tmp_path / "m")
        frames = Frames.load(tmp_path / "m")
        answers.append([series.predict_proba(ts), [mean - offset for mean, _ in frames.predict_normal(lines)],
                        frames.generate(given[0], 3, seed=0) - offset, list(frames.evaluate(lines).values()),
                        np.array(frames.predict(lines)) - offset, values["values"].numpy()])  # fmt: skip
    for plain, shifted in zip(*answers, strict=True):
        np.testing.assert_allclose(shifted, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [1e300, 1e38, 1e30])
def test_what_float32_cannot_reckon_with_is_no_answer(value: float) -> None:
    """1e30 itself is too large once it is divided by a deviation of 1e-3."""
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"hidden_size": 3, "steps": 1, "threads": 1, "validation_fraction": 0}
    rows = [rng.normal(0, 1e-3, (3, 2)) for _ in range(6)]
    bad = rng.normal(0, 1e-3, (3, 2))
    bad[1, 1] = value
    series = Classifier(**options).fit(rows, [0, 1] * 3, progress=False)
    frames = Frames(**options, values="real").fit(rows, progress=False)
    captions = Captioner(**options).fit(rows, ["a", "b"] * 3, progress=False)
    for ask in (series.predict, series.predict_proba, series.grows, frames.predict, captions.predict):
        with pytest.raises(DataError, match=r"(example|sequence) [12].* too large"):
            ask(bad if ask == series.grows else [bad])
    with pytest.raises(DataError, match="too large"):
        frames.generate(bad, 2)
    tagger = Tagger(**options).fit(rows, [["O", "B-x", "O"]] * 6, progress=False)
    if value > 1e30:  # a tagger's frames are read as they come
        with pytest.raises(DataError, match="sentence 1 .* too large"):
            tagger.predict([bad])


@pytest.mark.parametrize("wrong", [[1, 0.0], [1, -2.0], [1, float("inf")], [1, float("nan")], [1], "no numbers", None])
def test_a_changed_deviation_is_refused_in_every_codec(wrong: Any) -> None:
    scale = {"mean": [0.0, 1.0], "deviation": wrong}
    words = {"symbols": ["a"], "level": "characters"}
    for read in (
        lambda: reader_of({"kind": "series", **scale}),
        lambda: Frames()._codec_of({"kind": "real", **scale}),
        lambda: Captioner()._codec_of({"vocabulary": words, "shape": [2], "longest": 3, **scale}),
    ):
        with pytest.raises(ModelError, match=r"config\.json is damaged"):
            read()
