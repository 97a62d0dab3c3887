from __future__ import annotations

import numpy as np

from recell import worked
from tests.by_hand.setting import agree


def test_probabilities_gradient_and_jacobian() -> None:
    scores = np.array([0.3, -1.2, 2.0, 0.7])
    example = worked.softmax(tuple(scores), target=2)
    y = np.exp(scores) / np.exp(scores).sum()
    agree(example.column("y"), [*y, 1])
    agree(example.column("+ 100"), [*y, 1])
    agree(example.column("dL/do"), [*(y - [0, 0, 1, 0]), 0])
    agree(example.column("dL/do"), example.column("difference"), 1e-9)
    for j in range(4):
        agree(example.column(f"dy/do_{j}"), [*(y * ((np.arange(4) == j) - y[j])), 0])
    assert f"{-np.log(y[2]):.4f}" in example.text
