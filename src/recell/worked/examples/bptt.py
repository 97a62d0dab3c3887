"""Back-propagation through time over five steps: what each step gives to the gradient of the shared weights.

One tanh unit and half the squared error of the last output alone:

    a_t = U x_t + W s_(t-1)           s_t = tanh(a_t)           y = V s_5           L = (y - target)^2 / 2

The unrolled network has one copy of U and of W a step, and the error goes back from copy to copy:

    dL/da_5 = (y - target) V (1 - s_5^2)                  dL/da_t = dL/da_(t+1) W (1 - s_t^2)
    dL/dW of step t = dL/da_t s_(t-1)                     dL/dU of step t = dL/da_t x_t

The weights are shared, so the gradient is the sum. `difference` moves the copy of one step alone by 1e-5 up and down
and measures the loss: (L(w + e) - L(w - e)) / 2e. It knows nothing of the derivation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recell.by_hand.gradient_check import central_differences
from recell.by_hand.outputs import squared_error, squared_error_gradient
from recell.by_hand.rnn import RNNRun, rnn_backward, rnn_forward
from recell.worked.table import Worked, table, worked

Array = np.ndarray[Any, Any]

INPUTS = (1.0, -0.5, 0.25, 1.0, 0.5)
TARGET = 1.0


def bptt(U: float = 0.5, W: float = 0.7, V: float = 1.5, target: float = TARGET) -> Worked:
    """The gradient of each of five steps, beside central differences; the last row is their sum."""
    run = _forward(np.array(INPUTS), U, W, V)
    do = np.zeros_like(run.o)
    do[-1] = squared_error_gradient(run.o[-1], [[target]])
    found = rnn_backward(run, do)
    parts = found.of_each_step()
    copies_W, copies_U = np.full(len(INPUTS), float(W)), np.full(len(INPUTS), float(U))
    loss = lambda: _loss(copies_U, copies_W, V, target)  # noqa: E731 - reads the copies that the differences change
    measured_W, measured_U = central_differences(loss, copies_W), central_differences(loss, copies_U)
    columns = ("step", "x", "s before", "s after", "dL/da", "dL/dW", "difference W", "dL/dU", "difference U")
    rows: list[tuple[Any, ...]] = []
    for t, x in enumerate(INPUTS):
        slopes = parts["W"][t], measured_W[t], parts["U"][t], measured_U[t]
        rows.append((t + 1, x, run.s[t], run.s[t + 1], found.da["a"][t], *slopes))
    summed = found.parameters["W"], measured_W.sum(), found.parameters["U"], measured_U.sum()
    rows.append(("sum", None, None, None, None, *summed))
    return worked(
        __doc__,
        table(columns, rows),
        source="recell.by_hand; Werbos (1990)",
        said=f"U = {U}, W = {W}, V = {V}, target {target}, s_0 = 0.",
    )


def _forward(x: Array, U: float, W: float, V: float, s_0: Array | None = None) -> RNNRun:
    parameters = {"U": [[U]], "W": [[W]], "V": [[V]], "b_a": [0.0], "b_y": [0.0]}
    return rnn_forward(x[:, None, None], parameters, s_0, output="linear")


def _loss(copies_U: Array, copies_W: Array, V: float, target: float) -> float:
    """The loss where every step has weights of its own, each step run by itself and its state handed on."""
    state, o = None, np.zeros((1, 1))
    for x, U, W in zip(np.array(INPUTS), copies_U, copies_W, strict=True):
        step = _forward(x[None], U, W, V, state)
        state, o = step.s[-1], step.o[-1]
    return squared_error(o, [[target]])
