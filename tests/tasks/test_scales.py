"""What a network reads has mean 0 and deviation 1, and is never divided by what nothing can be divided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recell.errors import ModelError
from recell.tasks import Captioner, Frames
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
