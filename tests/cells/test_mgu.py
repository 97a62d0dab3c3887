from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.cells.by_hand import affine, equals_by_hand, parameters_of, sigm
from tests.contract.harness import case_of, forward


def step(p, x, s):
    f = sigm(affine(p, "f", x, s["h"]))
    return {"h": (1 - f) * s["h"] + f * np.tanh(affine(p, "n", x, f * s["h"]))}


def test_step() -> None:
    equals_by_hand("MGU", step)


def test_an_open_gate_leaves_an_elman_step_and_a_closed_one_the_state() -> None:
    case = case_of("MGU")
    p = parameters_of(case)
    y = {}
    for bias in (-1e4, 1e4):
        values = p | {"b_f": np.full_like(p["b_f"], bias)}
        y[bias] = forward(replace(case, parameters=tuple(values[q.name] for q in case.cell.graph.parameters)), "reference")["y"]
    assert np.array_equal(y[-1e4], np.broadcast_to(case.states[0], y[-1e4].shape))
    assert np.allclose(y[1e4][0], np.tanh(affine(p, "n", case.x[0], case.states[0])), rtol=0, atol=1e-14)
