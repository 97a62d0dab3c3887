"""The hard cells do what their papers say: one step equals the same equations by hand in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from recell import cells
from tests.contract.harness import agree, case_of, forward
from tests.language.cells_written_down import CELLS, STEPS


def sigm(a):
    return 1 / (1 + np.exp(-a))


def lstm_gates(p, x, h):
    return (x @ p[f"W_{k}"].T + h @ p[f"U_{k}"].T + p[f"b_{k}"] for k in "ifgo")


def lstm_step(p, x, s, dt):
    i, f, g, o = lstm_gates(p, x, s["h"])
    c = sigm(f) * s["c"] + sigm(i) * np.tanh(g)
    return {"h": sigm(o) * np.tanh(c), "c": c}, sigm(o) * np.tanh(c)


def projected_lstm_step(p, x, s, dt):
    states, h = lstm_step(p, x, s, dt)
    return {"h": h @ p["V"].T, "c": states["c"]}, h @ p["V"].T


def peephole_lstm_step(p, x, s, dt):
    i, f, g, o = lstm_gates(p, x, s["h"])
    c = sigm(f + p["w_f"] * s["c"]) * s["c"] + sigm(i + p["w_i"] * s["c"]) * np.tanh(g)
    h = sigm(o + p["w_o"] * c) * np.tanh(c)
    return {"h": h, "c": c}, h


def elman_step(p, x, s, dt):
    h = np.tanh(x @ p["W"].T + s["h"] @ p["U"].T + p["b"])
    return {"h": h}, h


def gru_step(p, x, s, dt):
    r, z = (sigm(x @ p[f"W_{k}"].T + s["h"] @ p[f"U_{k}"].T + p[f"b_{k}"]) for k in "rz")
    n = np.tanh(x @ p["W_n"].T + p["b_n"] + r * (s["h"] @ p["U_n"].T + p["c_n"]))
    return {"h": (1 - z) * n + z * s["h"]}, (1 - z) * n + z * s["h"]


def gru_reset_before_step(p, x, s, dt):
    r, z = (sigm(x @ p[f"W_{k}"].T + s["h"] @ p[f"U_{k}"].T + p[f"b_{k}"]) for k in "rz")
    n = np.tanh(x @ p["W_n"].T + (r * s["h"]) @ p["U_n"].T + p["b_n"])
    return {"h": z * s["h"] + (1 - z) * n}, z * s["h"] + (1 - z) * n


BY_HAND = STEPS | {
    "Elman": elman_step, "LSTM": lstm_step, "ProjectedLSTM": projected_lstm_step, "PeepholeLSTM": peephole_lstm_step,
    "GRU": gru_step, "GRUResetBefore": gru_reset_before_step,
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_steps_equal_those_by_hand(name: str) -> None:
    case = case_of(name)
    p = {info.name: a for info, a in zip(case.cell.graph.parameters, case.parameters, strict=True)}
    states = {s.name: a for s, a in zip(case.cell.states, case.states, strict=True)}
    outputs = []
    for t in range(case.steps):
        dt = None if case.elapsed is None else case.elapsed[t][:, None]
        states, output = BY_HAND[name](p, case.x[t], states, dt)
        outputs.append(output)
    found = forward(case, "reference")
    agree({"y": found["y"]}, {"y": np.stack(outputs)})
    agree({name: found[f"last {name}"] for name in states}, states)


def test_every_cell_of_the_zoo_that_is_here_is_done_by_hand() -> None:
    assert set(CELLS) == set(STEPS)


@pytest.mark.parametrize("name", ["Jordan", "SCRN"])
def test_the_zoo_has_the_same_cells(name: str) -> None:
    assert CELLS[name] == cells.get(name) and hash(CELLS[name]) == hash(cells.get(name))
