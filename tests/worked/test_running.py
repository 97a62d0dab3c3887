from __future__ import annotations

import numpy as np

from recell import by_hand, cells
from recell.worked.running import run
from tests.by_hand.setting import agree, random


def test_values_and_gradients_are_those_by_hand() -> None:
    draw = random(0).normal
    W, U, b = draw(size=(3, 2)), draw(size=(3, 3)), draw(size=3)
    x, dy = draw(size=(5, 2)), draw(size=(5, 3))
    ran = run(cells.Elman, x, {"W": W, "U": U, "b": b}, hidden=3)
    hand = by_hand.rnn_forward(x[:, None], {"U": W, "W": U, "V": np.eye(3), "b_a": b, "b_y": np.zeros(3)}, output="linear")
    agree(ran.y, hand.s[1:, 0])
    agree(ran.before("h"), hand.s[:-1, 0])
    expected = by_hand.rnn_backward(hand, dy[:, None]).parameters
    for ours, theirs in (("W", "U"), ("U", "W"), ("b", "b_a")):
        agree(ran.gradients(dy)[ours], expected[theirs])


def test_an_initial_state_that_is_not_zero() -> None:
    from recell import cell

    @cell(initial={"n": 2.0})
    def Count(p, x, n):
        return n + p.w * x

    agree(run(Count, [[1.0], [1.0]], {"w": [3.0]}).before("n"), [[2.0], [5.0]])
