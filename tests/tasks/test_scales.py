"""What a network reads has mean 0 and deviation 1, and is never divided by what nothing can be divided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recell.errors import DataError, ModelError
from recell.tasks import Captioner, Classifier, Frames, Tagger
from recell.tasks._inputs import reader_of
from recell.tasks._scales import scale_of


def test_values_have_mean_0_and_deviation_1_and_what_never_varies_stays_0() -> None:
    values = np.random.default_rng(0).normal(3, 2, (50, 4)) * [1, 1e3, 1e-3, 0] + [0, 5, 0, 7]
    mean, deviation = scale_of(values.mean(0), (values**2).mean(0))
    scaled = (values - mean) / deviation
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), [1, 1, 1, 0], atol=1e-4)


def test_what_varies_by_less_than_float32_holds_is_divided_by_1() -> None:
    values = np.array([1e-50, -1e-50])
    assert scale_of(values.mean(), (values**2).mean())[1] == 1


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
