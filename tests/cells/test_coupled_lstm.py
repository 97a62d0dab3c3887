from __future__ import annotations

import numpy as np

from recell import cells
from tests.cells.by_hand import affine, computes_as, equals_by_hand, parameters_of, sigm
from tests.contract.harness import case_of


def step(p, x, s):
    i, g, o = sigm(affine(p, "i", x, s["h"])), np.tanh(affine(p, "g", x, s["h"])), sigm(affine(p, "o", x, s["h"]))
    c = (1 - i) * s["c"] + i * g
    return {"h": o * np.tanh(c), "c": c}


def test_step() -> None:
    equals_by_hand("CoupledLSTM", step)


def test_it_is_the_lstm_whose_forget_gate_has_the_input_gates_weights_negated() -> None:
    case = case_of("CoupledLSTM")
    p = parameters_of(case)
    computes_as(case, cells.LSTM, p | {f"{kind}_f": -p[f"{kind}_i"] for kind in ("W", "U", "b")})
