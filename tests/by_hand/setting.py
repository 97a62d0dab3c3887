"""What the tests of by_hand share: random numbers, and a comparison that raises."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def agree(found: ArrayLike, expected: ArrayLike, tolerance: float = 1e-10) -> None:
    """AssertionError unless both are equal within `tolerance` of the largest number in them."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
