"""Short runs of the examples of Captioner and Frames, on slices of the real data."""

from __future__ import annotations

import re

import pytest

from tests.examples.helper import data, ran


@pytest.mark.slow
def test_digit_names_prints_a_row_and_a_mean() -> None:
    shown = ran("digit_names.py", "--data", data(), "--seeds", 1, "--epochs", 1, "--images", 300, "--threads", 1)
    assert "names of 300 digits" in shown
    assert re.search(r"^seed 0: loss [\d.]+  exact_match [\d.]+  character_error_rate", shown, re.MULTILINE)
    assert "test exact match, %: mean" in shown


@pytest.mark.slow
def test_chorales_come_below_the_naive_figure() -> None:
    shown = ran("chorales.py", "--data", data(), "--seeds", 1, "--epochs", 4, "--threads", 1)
    assert "naive: 11.09" in shown
    [reached] = re.findall(r"test nats per step: mean ([\d.]+)", shown)
    assert 8 < float(reached) < 11
    assert "after eight chords of a chorale it writes: " in shown
