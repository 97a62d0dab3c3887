"""Softmax and the cross-entropy of a sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import by_hand
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random


def test_softmax_is_torchs_and_sums_to_one() -> None:
    o = random(0).normal(size=(4, 3, 7)) * 5
    agree(by_hand.softmax(o), torch.from_numpy(o).softmax(-1).numpy())
    agree(by_hand.softmax(o).sum(-1), np.ones((4, 3)))


def test_huge_scores_overflow_nowhere() -> None:
    o = np.array([[1e4, 0.0, -1e4]])
    agree(by_hand.softmax(o), [[1, 0, 0]])
    agree(by_hand.cross_entropy(o, [2]), 2e4)


def test_the_jacobian_is_that_of_softmax() -> None:
    o, v = random(1).normal(size=(2, 6))
    agree(by_hand.softmax_jvp(by_hand.softmax(o), v), [  # J is symmetric: v^T J is the gradient of v . softmax(o)
        by_hand.central_differences(lambda: float(v @ by_hand.softmax(o)), o)
    ][0], 1e-8)  # fmt: skip


@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_and_its_gradient(soft: bool) -> None:
    rng = random(2)
    o = rng.normal(size=(5, 3, 4))
    targets = by_hand.softmax(rng.normal(size=o.shape)) if soft else rng.integers(0, 4, (5, 3))
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(o).reshape(-1, 4), torch.from_numpy(targets).reshape(-1, *targets.shape[2:]), reduction="sum"
    )
    agree(by_hand.cross_entropy(o, targets), float(expected))
    found = by_hand.cross_entropy_gradient(o, targets)
    by_hand.gradient_check(lambda: by_hand.cross_entropy(o, targets), {"o": o}, {"o": found})


@pytest.mark.parametrize("targets, error, told", [
    ([4, 0], DataError, "0 to 3"),
    ([[0.5, 0.5, 0.5, 0.5]] * 2, DataError, "sums to 1"),
    ([0], ShapeError, "do not fit"),
    ([0.5, 1.0], DataError, "integers"),
])  # fmt: skip
def test_wrong_targets_are_one_line(targets: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        by_hand.cross_entropy(np.zeros((2, 4)), targets)  # type: ignore[arg-type]
