from __future__ import annotations

from dataclasses import replace

import numpy as np

from recell import cells
from tests.cells.by_hand import affine, equals_by_hand, parameters_of, sigm
from tests.contract.harness import agree, case_of, forward


def step(p, x, s):
    g = 4 / (1 + np.exp(-affine(p, "g", x, s["h"]))) - 2
    c = s["c"] + sigm(affine(p, "i", x, s["h"])) * g
    h = sigm(affine(p, "o", x, s["h"])) * (2 / (1 + np.exp(-c)) - 1)
    return {"h": h, "c": c}


def test_step() -> None:
    equals_by_hand("LSTM1997", step)


def test_a_closed_input_gate_keeps_the_memory_for_ever() -> None:
    case = case_of("LSTM1997")
    shut = parameters_of(case) | {"b_i": np.full_like(parameters_of(case)["b_i"], -1e4)}
    found = forward(replace(case, parameters=tuple(shut[p.name] for p in case.cell.graph.parameters)), "reference")
    assert np.array_equal(found["last c"], case.states[1])


def test_an_open_forget_gate_and_its_squashing_make_it_of_an_lstm() -> None:
    """4 sigmoid(a) - 2 = 2 tanh(a / 2) and 2 sigmoid(c) - 1 = tanh(c / 2): an LSTM that forgets nothing, its memory halved."""
    case = case_of("LSTM1997")
    p = parameters_of(case)
    of_lstm = p | {f"{kind}_g": p[f"{kind}_g"] / 2 for kind in ("W", "U", "b")}
    of_lstm |= {"W_f": 0 * p["W_i"], "U_f": 0 * p["U_i"], "b_f": np.full_like(p["b_i"], 50.0)}
    h, c = case.states
    whole = forward(case, "reference")
    halved = replace(case, states=(h, c / 2), cell=cells.LSTM,
                     parameters=tuple(of_lstm[q.name] for q in cells.LSTM.graph.parameters))  # fmt: skip
    found = forward(halved, "reference")
    agree({"y": found["y"], "c": 2 * found["last c"]}, {"y": whole["y"], "c": whole["last c"]})
