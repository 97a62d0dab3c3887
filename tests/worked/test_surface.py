from __future__ import annotations

import numpy as np

from recell import worked
from recell.worked.examples import surface
from tests.by_hand.setting import agree


def test_loss_and_gradient_are_those_of_the_unit() -> None:
    def by_loop(w: float, b: float) -> float:
        s = 0.5
        for _ in range(50):
            s = np.tanh(w * s + b)
        return (s - 0.7) ** 2 / 2

    for w, b in ((0.9, -0.2), (2.0, -0.4), (1.3, 0.6)):
        agree(surface.loss(w, b), by_loop(w, b))
        agree(surface.losses(w, [b, -b]), [by_loop(w, b), by_loop(w, -b)])
        e = 1e-6
        measured = (by_loop(w + e, b) - by_loop(w - e, b)) / (2 * e), (by_loop(w, b + e) - by_loop(w, b - e)) / (2 * e)
        agree(surface.gradient(w, b), measured, 1e-6)


def test_there_are_plateaus_and_a_cliff() -> None:
    example = worked.surface()
    w_2 = dict(zip(example.columns, example.rows[4], strict=True))
    assert w_2["w"] == 2 and w_2["b = -0.5"] > 1.4 and w_2["b = -0.25"] < 0.05  # a quarter of b apart
    assert np.linalg.norm(surface.gradient(2.5, -2)) < 0.01 and np.linalg.norm(surface.gradient(3, 1)) < 0.01


def test_clipping_decides_where_the_descent_ends() -> None:
    paths = worked.surface().more[0]
    unclipped, clipped = ([row for row in paths.rows if row[0] == name] for name in ("no", "yes"))
    assert unclipped[-1][1] == clipped[-1][1] == 300 and unclipped[0][2:] == clipped[0][2:]
    assert unclipped[-1][4] > 1.4 and clipped[-1][4] < 1e-6
    assert max(row[5] for row in unclipped) > 100
    steps = np.diff([row[:2] for row in surface.descent((2.25, -0.5), 0.05, 1.0)], axis=0)
    assert np.linalg.norm(steps, axis=1).max() <= 0.05 * 1.0000001
