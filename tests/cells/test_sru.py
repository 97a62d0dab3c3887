from __future__ import annotations

import math

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm


def step(p, x, s):
    f = sigm(x @ p["W_f"].T + p["v_f"] * s["c"] + p["b_f"])
    r = sigm(x @ p["W_r"].T + p["v_r"] * s["c"] + p["b_r"])
    c = f * s["c"] + (1 - f) * (x @ p["W"].T)
    return {"c": c, "output": r * c + (1 - r) * x}


def test_step() -> None:
    equals_by_hand("SRU", step)


def test_the_highway_forces_the_input_to_be_as_wide_as_the_state() -> None:
    assert str(cells.SRU.graph.forced_input) == "hidden"


def test_its_weights_start_with_the_variance_of_one_over_the_width() -> None:
    layer = Recurrent("SRU", 200, 200)
    bound = math.sqrt(3 / 200)
    for name in ("W_l0", "W_f_l0", "W_r_l0"):
        W = getattr(layer, name)
        assert 0.99 * bound < W.abs().max() <= bound and abs(200 * W.var() - 1) < 0.05
    assert not layer.b_f_l0.any() and not layer.b_r_l0.any()
