from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import cells
from tests.cells.by_hand import affine, equals_by_hand, parameters_of, sigm
from tests.contract.harness import case_of, make


def step(p, x, s, rounds=5):
    h = s["h"]
    for k in range(1, rounds + 1):
        if k % 2 == 1:
            x = 2 * sigm(h @ p[f"Q_{k}"].T) * x
        else:
            h = 2 * sigm(x @ p[f"R_{k}"].T) * h
    i, f, g, o = (affine(p, gate, x, h) for gate in "ifgo")
    c = sigm(f) * s["c"] + sigm(i) * np.tanh(g)
    return {"h": sigm(o) * np.tanh(c), "c": c}


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_step(rounds: int) -> None:
    case = make(cells.MogrifierLSTM(rounds=rounds), case_of("MogrifierLSTM").sizes)
    equals_by_hand(case, lambda p, x, s: step(p, x, s, rounds))


def test_no_round_is_the_lstm() -> None:
    assert cells.MogrifierLSTM(rounds=0) == cells.LSTM


def test_gates_of_a_half_change_nothing() -> None:
    case = case_of("MogrifierLSTM")
    p = {name: 0 * a if name[0] in "QR" else a for name, a in parameters_of(case).items()}
    case = replace(case, parameters=tuple(p[q.name] for q in case.cell.graph.parameters))
    equals_by_hand(case, lambda p, x, s: step(p, x, s, 0))
