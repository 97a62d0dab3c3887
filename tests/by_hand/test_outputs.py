"""The three outputs and their losses."""

from __future__ import annotations

import pytest
import torch

from recell import by_hand
from recell.by_hand.outputs import OUTPUTS
from tests.by_hand.setting import agree, random


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_gradient_is_what_came_out_minus_what_should_have(name: str) -> None:
    rng = random(0)
    o, targets = rng.normal(size=(4, 3, 5)), by_hand.softmax(rng.normal(size=(4, 3, 5)))
    output = OUTPUTS[name]
    agree(output.gradient(o, targets), output.apply(o) - targets)
    by_hand.gradient_check(lambda: output.loss(o, targets), {"o": o}, {"o": output.gradient(o, targets)})


def test_binary_cross_entropy_is_torchs_and_takes_no_log_of_zero() -> None:
    rng = random(1)
    o, targets = 50 * rng.normal(size=(4, 5)), rng.uniform(size=(4, 5))
    criterion = torch.nn.BCEWithLogitsLoss(reduction="sum")
    agree(by_hand.binary_cross_entropy(o, targets), float(criterion(torch.from_numpy(o), torch.from_numpy(targets))))
    agree(by_hand.binary_cross_entropy([800.0], [0.0]), 800)


def test_squared_error() -> None:
    agree(by_hand.squared_error([1.0, 3.0], [0.0, 1.0]), 2.5)
