from __future__ import annotations

import math

import pytest

from recell import worked


@pytest.mark.parametrize("seed", [0, 7])
def test_the_sky_is_very_blue(seed: int) -> None:
    example = worked.sky(seed)
    first = dict(zip(example.columns, example.rows[0], strict=True))
    assert first["read"] == "天空 很" and first["most probable"] == "蓝" and first["probability"] > 0.9
    assert example.column("most probable") == example.column("right")
    assert f"seed {seed}" in example.text


def test_without_memory_it_is_a_guess_among_all() -> None:
    guesses = worked.sky().column("no memory")
    assert sum(guesses) <= 1 + 1e-9 and max(guesses) < 0.3
    assert -sum(map(math.log, guesses)) / len(guesses) >= math.log(len(guesses)) - 1e-9
