from __future__ import annotations

from dataclasses import replace

import numpy as np

from recell import cells
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import agree, case_of, forward


def step(p, x, s):
    f, i, n = (x @ p[f"W_{k}"].T + p[f"b_{k}"] for k in "fih")
    share = sigm(f) / (sigm(f) + sigm(i))
    h = share * s["h"] + (1 - share) * n
    return {"h": h}


def test_step() -> None:
    equals_by_hand("MinLSTM", step)


def test_its_gates_depend_on_their_ratio_alone_where_both_are_small() -> None:
    """sigmoid(v) is exp(v) far below 0: f / (f + i) is sigmoid(v_f - v_i), a MinGRU's gate."""
    case = case_of("MinLSTM")
    p = {info.name: a for info, a in zip(case.cell.graph.parameters, case.parameters, strict=True)}
    low = p | {"b_f": p["b_f"] - 40, "b_i": p["b_i"] - 40}
    gru = {"W_z": p["W_i"] - p["W_f"], "b_z": p["b_i"] - p["b_f"], "W_h": p["W_h"], "b_h": p["b_h"]}
    found = forward(replace(case, parameters=tuple(low.values())), "reference")
    other = tuple(gru[info.name] for info in cells.MinGRU.graph.parameters)
    agree(found, forward(replace(case, cell=cells.MinGRU, parameters=other), "reference"))


def test_g_is_a_constant() -> None:
    positive = replace(case_of("MinLSTM"), cell=cells.MinLSTM(positive=True))
    started = replace(positive, states=tuple(np.abs(s) for s in positive.states))
    assert (forward(started, "reference")["y"] > 0).all()
