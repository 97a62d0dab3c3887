"""One seed, one row of numbers; what is no seed is refused wherever something is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recell.data.drawing import generator_of
from recell.data.long_memory import adding
from recell.decoding import sample
from recell.errors import DataError


def test_a_seed_is_numpys_and_a_generator_goes_on() -> None:
    assert generator_of(3).random() == generator_of(np.int64(3)).random() == np.random.default_rng(3).random()
    going = np.random.default_rng(3)
    assert generator_of(going) is going
    assert generator_of(None).random() != generator_of(None).random()


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", True, [1, 2]])
def test_what_is_no_seed_is_one_line(wrong: Any) -> None:
    def sampled(seed: Any) -> list[int]:
        return list(sample(lambda _: np.zeros(3), [0], 2, seed=seed))

    for draw in (generator_of, lambda seed: adding(2, 5, seed), sampled):
        with pytest.raises(DataError, match="seed is a whole number from 0, or None; came .*; write seed=0"):
            draw(wrong)
