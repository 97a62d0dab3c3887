"""Long short-term memory with a forget gate, and its back-propagation through time.

The cell (Hochreiter & Schmidhuber 1997; the forget gate: Gers, Schmidhuber & Cummins 2000), `*` by element:

    a_i = W_i x_t + U_i h_(t-1) + b_i       i_t = sigmoid(a_i)      input gate
    a_f = W_f x_t + U_f h_(t-1) + b_f       f_t = sigmoid(a_f)      forget gate
    a_g = W_g x_t + U_g h_(t-1) + b_g       g_t = tanh(a_g)         what may be written
    a_o = W_o x_t + U_o h_(t-1) + b_o       o_t = sigmoid(a_o)      output gate
    c_t = f_t * c_(t-1) + i_t * g_t                                 the memory
    h_t = o_t * tanh(c_t)                                           the output

The gradients, with d.. short for dL/d... The output h_t acts through what the loss hands in (dh_t from outside)
and through the four sums of the next step; the memory c_t through h_t and through c_(t+1):

    dh_t = (from outside) + U_i^T da_i + U_f^T da_f + U_g^T da_g + U_o^T da_o        of step t + 1
    dc_t = dh_t * o_t * (1 - tanh(c_t)^2) + dc_(t+1) * f_(t+1)

    do_t = dh_t * tanh(c_t)         da_o = do_t * o_t * (1 - o_t)
    di_t = dc_t * g_t               da_i = di_t * i_t * (1 - i_t)
    df_t = dc_t * c_(t-1)           da_f = df_t * f_t * (1 - f_t)
    dg_t = dc_t * i_t               da_g = dg_t * (1 - g_t^2)

    dx_t = W_i^T da_i + W_f^T da_f + W_g^T da_g + W_o^T da_o
    dL/dW_k = sum_t da_k x_t^T      dL/dU_k = sum_t da_k h_(t-1)^T      dL/db_k = sum_t da_k      k = i, f, g, o

Along the memory an error is multiplied by f_t alone, no matrix and no squashing: where the forget gate is near 1
it neither vanishes nor explodes. That is what the cell was invented for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.activations import sigmoid, sigmoid_slope, tanh_slope
from recell.by_hand.checks import Array, floats, named, optional, size_of, zeros
from recell.by_hand.gradients import Gradients, Term

GATES = ("i", "f", "g", "o")


@dataclass(frozen=True, eq=False)
class LSTMRun:
    """What a forward pass keeps. States have one row more than steps: h[t] enters step t, h[t + 1] leaves it."""

    x: Array  # (T, N, input)
    h: Array  # (T + 1, N, hidden), h[0] = h_0
    c: Array  # (T + 1, N, hidden), c[0] = c_0
    gates: dict[str, Array]  # i, f, g, o, each (T, N, hidden)
    parameters: dict[str, Array]


def lstm_forward(
    x: ArrayLike, parameters: Mapping[str, ArrayLike], h_0: ArrayLike | None = None, c_0: ArrayLike | None = None
) -> LSTMRun:
    """The LSTM over x (T, N, input), from h_0 and c_0 (N, hidden) or 0 (Gers, Schmidhuber & Cummins 2000).

    `parameters`: W_k (hidden, input), U_k (hidden, hidden), b_k (hidden) for k = i, f, g, o; torch.nn.LSTM's two
    biases are one here, their sum. Computes in float64. Raises ShapeError for shapes that do not fit, DataError
    for parameters that are missing or not known.
    """
    hidden, inputs = size_of(parameters, "W_i")
    p = named(parameters, lstm_shapes(inputs, hidden))
    x = floats("x", x, ("T", "N", inputs))
    steps, rows, _ = x.shape
    h, c = zeros(2, (steps + 1, rows, hidden))
    h[0] = optional("h_0", h_0, (rows, hidden))
    c[0] = optional("c_0", c_0, (rows, hidden))
    i, f, g, o = zeros(4, (steps, rows, hidden))
    for t in range(steps):
        i[t] = sigmoid(x[t] @ p["W_i"].T + h[t] @ p["U_i"].T + p["b_i"])
        f[t] = sigmoid(x[t] @ p["W_f"].T + h[t] @ p["U_f"].T + p["b_f"])
        g[t] = np.tanh(x[t] @ p["W_g"].T + h[t] @ p["U_g"].T + p["b_g"])
        o[t] = sigmoid(x[t] @ p["W_o"].T + h[t] @ p["U_o"].T + p["b_o"])
        c[t + 1] = f[t] * c[t] + i[t] * g[t]
        h[t + 1] = o[t] * np.tanh(c[t + 1])
    return LSTMRun(x, h, c, {"i": i, "f": f, "g": g, "o": o}, p)


def lstm_backward(
    run: LSTMRun, dh: ArrayLike, dh_last: ArrayLike | None = None, dc_last: ArrayLike | None = None
) -> Gradients:
    """All gradients of a forward pass by full back-propagation through time.

    dh (T, N, hidden) = dL/dh of every step's output, as the layer above or the loss hands it in; dh_last and
    dc_last (N, hidden) = dL/dh and dL/dc of the last state where something later uses it. Raises ShapeError.
    """
    p, c = run.parameters, run.c
    i, f, g, o = (run.gates[k] for k in GATES)
    from_outside = floats("dh", dh, i.shape)
    dh_t = optional("dh_last", dh_last, c[0].shape)
    dc_t = optional("dc_last", dc_last, c[0].shape)
    da_i, da_f, da_g, da_o = zeros(4, i.shape)
    for t in reversed(range(len(i))):
        dh_t = from_outside[t] + dh_t
        tanh_c = np.tanh(c[t + 1])
        dc_t = dh_t * o[t] * tanh_slope(tanh_c) + dc_t
        da_o[t] = dh_t * tanh_c * sigmoid_slope(o[t])
        da_i[t] = dc_t * g[t] * sigmoid_slope(i[t])
        da_f[t] = dc_t * c[t] * sigmoid_slope(f[t])
        da_g[t] = dc_t * i[t] * tanh_slope(g[t])
        dh_t = da_i[t] @ p["U_i"] + da_f[t] @ p["U_f"] + da_g[t] @ p["U_g"] + da_o[t] @ p["U_o"]  # for step t - 1
        dc_t = dc_t * f[t]  # for step t - 1
    dx = da_i @ p["W_i"] + da_f @ p["W_f"] + da_g @ p["W_g"] + da_o @ p["W_o"]
    da = {"i": da_i, "f": da_f, "g": da_g, "o": da_o}
    return Gradients(dx, {"h_0": dh_t, "c_0": dc_t}, da, _terms(run, da))


def lstm_shapes(inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The parameters' names and shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k in GATES:
        shapes |= {f"W_{k}": (hidden, inputs), f"U_{k}": (hidden, hidden), f"b_{k}": (hidden,)}
    return shapes


def _terms(run: LSTMRun, da: Mapping[str, Array]) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    for k in GATES:
        terms |= {f"W_{k}": Term(da[k], run.x), f"U_{k}": Term(da[k], run.h[:-1]), f"b_{k}": Term(da[k])}
    return terms
