"""The gated recurrent unit in both its forms, and its back-propagation through time.

The cell (Cho et al. 2014), `*` by element; z near 1 keeps the state:

    a_r = W_r x_t + U_r h_(t-1) + b_r       r_t = sigmoid(a_r)      reset gate
    a_z = W_z x_t + U_z h_(t-1) + b_z       z_t = sigmoid(a_z)      update gate
    n_t = tanh(a_n)                                                 the candidate
    h_t = (1 - z_t) * n_t + z_t * h_(t-1)

The two forms differ in where the reset gate stands:

    reset="after"    m_t = U_n h_(t-1) + c_n        a_n = W_n x_t + b_n + r_t * m_t     (cuDNN, torch.nn.GRU)
    reset="before"   m_t = r_t * h_(t-1)            a_n = W_n x_t + b_n + U_n m_t       (as first published)

The gradients, with d.. short for dL/d...:

    dz_t = dh_t * (h_(t-1) - n_t)           da_z = dz_t * z_t * (1 - z_t)
    dn_t = dh_t * (1 - z_t)                 da_n = dn_t * (1 - n_t^2)

    after:   dr_t = da_n * m_t              dm_t = da_n * r_t
    before:  dm_t = U_n^T da_n              dr_t = dm_t * h_(t-1)

             da_r = dr_t * r_t * (1 - r_t)

The state before acts through z_t * h_(t-1), through both gates and through m_t:

    dh_(t-1) = dh_t * z_t + U_r^T da_r + U_z^T da_z + (after: U_n^T dm_t; before: dm_t * r_t)     + (from outside)
    dx_t     = W_r^T da_r + W_z^T da_z + W_n^T da_n

    dL/dW_k = sum_t da_k x_t^T      dL/db_k = sum_t da_k                  k = r, z, n
    dL/dU_k = sum_t da_k h_(t-1)^T                                        k = r, z
    after:   dL/dU_n = sum_t dm_t h_(t-1)^T     dL/dc_n = sum_t dm_t
    before:  dL/dU_n = sum_t da_n m_t^T
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.activations import sigmoid, sigmoid_slope, tanh_slope
from recell.by_hand.checks import Array, chosen, floats, named, optional, size_of, zeros
from recell.by_hand.gradients import Gradients, Term

RESETS = {"after": "torch.nn.GRU's, cuDNN's", "before": "Cho et al. 2014"}


@dataclass(frozen=True, eq=False)
class GRURun:
    """What a forward pass keeps. The state has one row more than steps: h[t] enters step t, h[t + 1] leaves it."""

    x: Array  # (T, N, input)
    h: Array  # (T + 1, N, hidden), h[0] = h_0
    r: Array  # (T, N, hidden)
    z: Array  # (T, N, hidden)
    n: Array  # (T, N, hidden)
    m: Array  # (T, N, hidden), what stands beside the reset gate: U_n h + c_n, or r * h
    parameters: dict[str, Array]
    reset: str


def gru_forward(
    x: ArrayLike, parameters: Mapping[str, ArrayLike], h_0: ArrayLike | None = None, *, reset: str = "after"
) -> GRURun:
    """The GRU over x (T, N, input), from h_0 (N, hidden) or 0 (Cho et al. 2014).

    `parameters`: W_k (hidden, input), U_k (hidden, hidden), b_k (hidden) for k = r, z, n, and c_n (hidden) where
    reset="after". torch.nn.GRU's two biases of r and of z are one here, their sum. Computes in float64. Raises
    ShapeError for shapes that do not fit, DataError for names that are not known.
    """
    chosen("reset", reset, RESETS)
    hidden, inputs = size_of(parameters, "W_r")
    p = named(parameters, gru_shapes(inputs, hidden, reset=reset))
    x = floats("x", x, ("T", "N", inputs))
    steps, rows, _ = x.shape
    h = np.zeros((steps + 1, rows, hidden))
    h[0] = optional("h_0", h_0, (rows, hidden))
    r, z, n, m = zeros(4, (steps, rows, hidden))
    for t in range(steps):
        r[t] = sigmoid(x[t] @ p["W_r"].T + h[t] @ p["U_r"].T + p["b_r"])
        z[t] = sigmoid(x[t] @ p["W_z"].T + h[t] @ p["U_z"].T + p["b_z"])
        if reset == "after":
            m[t] = h[t] @ p["U_n"].T + p["c_n"]
            n[t] = np.tanh(x[t] @ p["W_n"].T + p["b_n"] + r[t] * m[t])
        else:
            m[t] = r[t] * h[t]
            n[t] = np.tanh(x[t] @ p["W_n"].T + p["b_n"] + m[t] @ p["U_n"].T)
        h[t + 1] = (1 - z[t]) * n[t] + z[t] * h[t]
    return GRURun(x, h, r, z, n, m, p, reset)


def gru_backward(run: GRURun, dh: ArrayLike, dh_last: ArrayLike | None = None) -> Gradients:
    """All gradients of a forward pass by full back-propagation through time, of the form that ran.

    dh (T, N, hidden) = dL/dh of every step's output, as the layer above or the loss hands it in; dh_last
    (N, hidden) = dL/dh of the last state where something later uses it. Raises ShapeError.
    """
    p, h, r, z, n, m = run.parameters, run.h, run.r, run.z, run.n, run.m
    from_outside = floats("dh", dh, r.shape)
    dh_t = optional("dh_last", dh_last, h[0].shape)
    da_r, da_z, da_n, dm = zeros(4, r.shape)
    for t in reversed(range(len(r))):
        dh_t = from_outside[t] + dh_t
        da_z[t] = dh_t * (h[t] - n[t]) * sigmoid_slope(z[t])
        da_n[t] = dh_t * (1 - z[t]) * tanh_slope(n[t])
        if run.reset == "after":
            dr_t = da_n[t] * m[t]
            dm[t] = da_n[t] * r[t]
            through_m = dm[t] @ p["U_n"]
        else:
            dm[t] = da_n[t] @ p["U_n"]
            dr_t = dm[t] * h[t]
            through_m = dm[t] * r[t]
        da_r[t] = dr_t * sigmoid_slope(r[t])
        dh_t = dh_t * z[t] + da_r[t] @ p["U_r"] + da_z[t] @ p["U_z"] + through_m  # for step t - 1
    dx = da_r @ p["W_r"] + da_z @ p["W_z"] + da_n @ p["W_n"]
    da = {"r": da_r, "z": da_z, "n": da_n, "m": dm}
    return Gradients(dx, {"h_0": dh_t}, da, _terms(run, da))


def gru_shapes(inputs: int, hidden: int, *, reset: str = "after") -> dict[str, tuple[int, ...]]:
    """The parameters' names and shapes, of the form that `reset` names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k in ("r", "z", "n"):
        shapes |= {f"W_{k}": (hidden, inputs), f"U_{k}": (hidden, hidden), f"b_{k}": (hidden,)}
    return shapes | ({"c_n": (hidden,)} if reset == "after" else {})


def _terms(run: GRURun, da: Mapping[str, Array]) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    for k in ("r", "z", "n"):
        terms |= {f"W_{k}": Term(da[k], run.x), f"U_{k}": Term(da[k], run.h[:-1]), f"b_{k}": Term(da[k])}
    if run.reset == "after":
        return terms | {"U_n": Term(da["m"], run.h[:-1]), "c_n": Term(da["m"])}
    return terms | {"U_n": Term(da["n"], run.m)}
