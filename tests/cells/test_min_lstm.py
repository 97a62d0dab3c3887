from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import cell, cells, sigmoid, softplus
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.descriptions import BACKENDS
from tests.contract.harness import Case, agree, case_of, everything, forward


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
    gru = {"W_z": p["W_i"] - p["W_f"], "b_z": p["b_i"] - p["b_f"], "W_h": p["W_h"], "b_h": p["b_h"]}
    other = tuple(gru[info.name] for info in cells.MinGRU.graph.parameters)
    as_gru = forward(replace(case, cell=cells.MinGRU, parameters=other), "reference")
    for depth in (40, 60, 1000):
        low = p | {"b_f": p["b_f"] - depth, "b_i": p["b_i"] - depth}
        agree(forward(replace(case, parameters=tuple(low.values())), "reference"), as_gru)


@cell
def InLogSpace(p, x, h):
    """f / (f + i) by the logarithms of the gates, as in appendix B of the paper."""
    f = p.W_f @ x + p.b_f
    i = p.W_i @ x + p.b_i
    n = p.W_h @ x + p.b_h
    share = sigmoid(softplus(-i) - softplus(-f))
    return share * h + (1 - share) * n


def far_out() -> Case:
    """Gates whose pre-activations are the same at every step: every pair of these, far beyond what exp can hold."""
    case = case_of("MinLSTM")
    f, i = np.meshgrid([-1000.0, -999.5, -104.0, -41.0, -39.0, -2.0, 3.0, 1000.0], [-1000.0, -999.0, -40.0, 1.0, 1000.0])
    sizes = {"input": case.sizes["input"], "hidden": f.size}
    rng = np.random.default_rng(5)
    shapes = {p.name: p.shape for p in cells.MinLSTM.parameters(sizes)}
    p = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    p |= {"W_f": np.zeros(shapes["W_f"]), "b_f": f.ravel(), "W_i": np.zeros(shapes["W_i"]), "b_i": i.ravel()}
    draw = lambda *shape: rng.normal(size=shape)  # noqa: E731
    return replace(case, sizes=sizes, parameters=tuple(p.values()), states=(draw(case.rows, f.size),),
                   dy=draw(case.steps, case.rows, f.size), dstates=(draw(case.rows, f.size),))  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_shut_gates_are_finite_and_the_log_space_form(backend: str, dtype: str) -> None:
    case = far_out()
    came = everything(case, backend, dtype)
    assert all(np.isfinite(value).all() for value in came.values())
    agree(came, everything(replace(case, cell=InLogSpace), "reference"), dtype)


def test_g_is_a_constant() -> None:
    positive = replace(case_of("MinLSTM"), cell=cells.MinLSTM(positive=True))
    started = replace(positive, states=tuple(np.abs(s) for s in positive.states))
    assert (forward(started, "reference")["y"] > 0).all()
