"""The generator of whatever is drawn by a seed."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from recell.errors import DataError, message


def generator_of(seed: int | np.random.Generator | None) -> np.random.Generator:
    """NumPy's generator of a seed, the generator itself, or for None one that nobody can repeat.

    Raises DataError for what is no whole number from 0.
    """
    if seed is not None and not isinstance(seed, np.random.Generator):
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise DataError(message("seed is a whole number from 0, or None", came=repr(seed), write="seed=0"))
    return np.random.default_rng(seed)
