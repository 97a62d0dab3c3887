"""The generator of whatever is drawn by a seed."""

from __future__ import annotations

import numpy as np

from recell.errors import DataError, whole


def generator_of(seed: int | np.random.Generator | None) -> np.random.Generator:
    """NumPy's generator of a seed, the generator itself, or for None one that nobody can repeat.

    Raises DataError for what is no whole number from 0.
    """
    if seed is not None and not isinstance(seed, np.random.Generator):
        seed = whole("seed", seed, least=0, rule="is a whole number from 0, or None", write="seed=0", error=DataError)
    return np.random.default_rng(seed)
