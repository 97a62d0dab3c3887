from __future__ import annotations

from dataclasses import replace

import numpy as np

from recell import cells
from tests.cells.by_hand import affine, equals_by_hand, parameters_of, sigm
from tests.contract.harness import agree, case_of, forward


def step(p, x, s):
    m = (x @ p["W_m"].T) * (s["h"] @ p["U_m"].T)
    i, f, g, o = (affine(p, gate, x, m) for gate in "ifgo")
    c = sigm(f) * s["c"] + sigm(i) * np.tanh(g)
    return {"h": sigm(o) * np.tanh(c), "c": c}


def test_step() -> None:
    equals_by_hand("MultiplicativeLSTM", step)


def test_each_symbol_has_an_lstm_of_its_own() -> None:
    """For a one-hot x, U m = (U diag(W_m x) U_m) h: a recurrent matrix a symbol."""
    case = case_of("MultiplicativeLSTM")
    p = parameters_of(case)
    for symbol in range(case.x.shape[2]):
        same = replace(case, x=np.broadcast_to(np.eye(case.x.shape[2])[symbol], case.x.shape))
        chosen = p | {f"U_{gate}": p[f"U_{gate}"] @ np.diag(p["W_m"][:, symbol]) @ p["U_m"] for gate in "ifgo"}
        lstm = replace(same, cell=cells.LSTM, parameters=tuple(chosen[q.name] for q in cells.LSTM.graph.parameters))
        agree({"y": forward(same, "reference")["y"]}, {"y": forward(lstm, "reference")["y"]})
