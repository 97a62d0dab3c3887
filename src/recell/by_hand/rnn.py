"""The vanilla recurrent network and back-propagation through time, in its three forms.

The network (Elman 1990), with the letters of the language-model tutorials: U takes the input, W the state
before, V makes the output. (recell's cells call the input's matrix W and the state's U, as the LSTM papers do.)

    a_t = U x_t + W s_(t-1) + b_a
    s_t = tanh(a_t)  or  relu(a_t)
    o_t = V s_t + b_y
    y_t = softmax(o_t)  or  sigmoid(o_t)  or  o_t

The gradients. L = sum_t L_t, and do_t = dL/do_t is what the loss hands in (y_t - target_t for the losses of
outputs.py). Write ds_t for dL/ds_t and da_t for dL/da_t. The state s_t acts on L in two ways: through its own
output o_t, and through the next step's a_(t+1). The chain rule over both:

    ds_t = V^T do_t + W^T da_(t+1)              (after the last step: 0, or what the caller hands in)
    da_t = ds_t * f'(a_t)                       f' = 1 - s_t^2 for tanh, [s_t > 0] for relu
    dx_t = U^T da_t
    ds_0 = W^T da_1

and, as every step uses the same weights, their gradients are sums over the steps:

    dL/dV = sum_t do_t s_t^T        dL/db_y = sum_t do_t
    dL/dW = sum_t da_t s_(t-1)^T    dL/db_a = sum_t da_t
    dL/dU = sum_t da_t x_t^T

The three forms differ in how far an error travels back, which is in da_t alone; the sums are the same.

    full_bptt        every error travels to the first step (Werbos 1990)
    truncated_bptt   the error of each output L_t travels back through W at most bptt_truncate times (Williams &
                     Peng 1990 with h' = 1; the form of RNN language-model tutorials). It takes T * (k + 1) steps
    chunked_bptt     the sequence is cut into chunks; the state is handed on to the next chunk, the error is not
                     handed back (Mikolov 2012; Williams & Peng 1990 with h' = h). It takes T steps

Where all fits into one chunk, or no error travels further than bptt_truncate, all three are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.activations import ACTIVATIONS
from recell.by_hand.checks import Array, chosen, count, floats, named, optional, size_of
from recell.by_hand.gradients import Gradients, Term
from recell.by_hand.outputs import OUTPUTS
from recell.errors import DataError, message


@dataclass(frozen=True, eq=False)
class RNNRun:
    """What a forward pass keeps. States have one row more than steps: s[t] enters step t, s[t + 1] leaves it."""

    x: Array  # (T, N, input)
    s: Array  # (T + 1, N, hidden), s[0] = s_0
    o: Array  # (T, N, output), the scores
    y: Array  # (T, N, output), softmax, sigmoid or the scores themselves
    parameters: dict[str, Array]
    activation: str
    output: str

    def loss(self, targets: ArrayLike) -> float:
        """The loss that belongs to the output, in nats, summed over all steps and rows (outputs.py)."""
        return OUTPUTS[self.output].loss(self.o, targets)

    def loss_gradient(self, targets: ArrayLike) -> Array:
        """do (T, N, output) = y - targets: what the backward pass starts from."""
        return OUTPUTS[self.output].gradient(self.o, targets)

    def slope(self, t: int) -> Array:
        """f'(a_t) (N, hidden), read from the state that leaves step t."""
        return ACTIVATIONS[self.activation][1](self.s[t + 1])


def rnn_forward(
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    s_0: ArrayLike | None = None,
    *,
    activation: str = "tanh",
    output: str = "softmax",
) -> RNNRun:
    """The vanilla recurrent network over x (T, N, input), from s_0 (N, hidden) or 0 (Elman 1990).

    `parameters`: U (hidden, input), W (hidden, hidden), V (output, hidden), b_a (hidden), b_y (output).
    `activation`: "tanh" or "relu"; `output`: "softmax", "sigmoid" or "linear". Computes in float64.
    Raises ShapeError for shapes that do not fit, DataError for names that are not known.
    """
    f, _ = chosen("activation", activation, ACTIVATIONS)
    link = chosen("output", output, OUTPUTS).apply
    hidden, inputs = size_of(parameters, "U")
    outputs, _ = size_of(parameters, "V")
    shapes = {"U": (hidden, inputs), "W": (hidden, hidden), "V": (outputs, hidden), "b_a": (hidden,), "b_y": (outputs,)}
    p = named(parameters, shapes)
    x = floats("x", x, ("T", "N", inputs))
    steps, rows, _ = x.shape
    s = np.zeros((steps + 1, rows, hidden))
    s[0] = optional("s_0", s_0, (rows, hidden))
    o = np.zeros((steps, rows, outputs))
    for t in range(steps):
        a = x[t] @ p["U"].T + s[t] @ p["W"].T + p["b_a"]
        s[t + 1] = f(a)
        o[t] = s[t + 1] @ p["V"].T + p["b_y"]
    return RNNRun(x, s, o, link(o), p, activation, output)


def rnn_backward(
    run: RNNRun,
    do: ArrayLike,
    ds_last: ArrayLike | None = None,
    *,
    bptt_truncate: int | None = None,
    chunk_length: int | None = None,
) -> Gradients:
    """All gradients of a forward pass, by `full_bptt`, or by the form that one of the two numbers names.

    do (T, N, output) = dL/do, such as `run.loss_gradient(targets)`; ds_last (N, hidden) = dL/ds of the last
    state where something later uses it. To see what one output L_t alone gives to every step, set do to 0
    elsewhere and read `of_each_step()`. Raises ShapeError, or DataError for numbers that make no sense.
    """
    if bptt_truncate is not None and chunk_length is not None:
        raise DataError(message("truncated and chunked BPTT are two things", came="both numbers",
                                write="bptt_truncate=4 or chunk_length=35"))
    if bptt_truncate is not None:
        return truncated_bptt(run, do, ds_last, bptt_truncate=bptt_truncate)
    if chunk_length is not None:
        return chunked_bptt(run, do, ds_last, chunk_length=chunk_length)
    return full_bptt(run, do, ds_last)


def full_bptt(run: RNNRun, do: ArrayLike, ds_last: ArrayLike | None = None) -> Gradients:
    """Every error travels back to the first step; arguments as for `rnn_backward` (Werbos 1990)."""
    do, ds = _incoming(run, do, ds_last)
    da = np.zeros_like(run.s[1:])
    ds_0 = _carry_back(run, do, ds, da, 0, len(do))
    return _gradients(run, do, da, ds_0)


def truncated_bptt(run: RNNRun, do: ArrayLike, ds_last: ArrayLike | None = None, *, bptt_truncate: int) -> Gradients:
    """The error of output t reaches the steps t, t - 1, ..., t - bptt_truncate, and no earlier one.

    0 leaves each error in its own step. ds_last counts as an error of the last output, and s_0 as the step
    before the first. Arguments as for `rnn_backward`.
    """
    reach = count("bptt_truncate", bptt_truncate, least=0)
    do, ds_last = _incoming(run, do, ds_last)
    steps, (V, W) = len(do), (run.parameters["V"], run.parameters["W"])
    da = np.zeros_like(run.s[1:])
    ds_0 = np.zeros_like(run.s[0])
    for t in range(steps):
        ds = do[t] @ V + (ds_last if t == steps - 1 else 0)
        for k in range(t, max(-1, t - reach - 1), -1):  # k = t, t - 1, ..., t - reach
            da_k = ds * run.slope(k)
            da[k] += da_k
            ds = da_k @ W
        if t < reach:
            ds_0 += ds
    return _gradients(run, do, da, ds_0 if steps else ds_last)


def chunked_bptt(run: RNNRun, do: ArrayLike, ds_last: ArrayLike | None = None, *, chunk_length: int) -> Gradients:
    """Chunks of `chunk_length` steps, counted from the first: no error crosses from one into the one before.

    The same as a forward and a full backward pass over each chunk with the last state handed on, the gradients
    of all chunks added up. Arguments as for `rnn_backward`.
    """
    length = count("chunk_length", chunk_length, least=1)
    do, ds = _incoming(run, do, ds_last)
    da = np.zeros_like(run.s[1:])
    for start in reversed(range(0, len(do), length)):
        stop = min(start + length, len(do))
        ds_first = _carry_back(run, do, ds, da, start, stop)
        ds = ds_first if start == 0 else np.zeros_like(ds)  # the state was handed on, the error is not handed back
    return _gradients(run, do, da, ds)


def _carry_back(run: RNNRun, do: Array, ds: Array, da: Array, start: int, stop: int) -> Array:
    """Fills da of the steps from start to stop - 1, from the error `ds` after them; returns the error before them."""
    V, W = run.parameters["V"], run.parameters["W"]
    for t in reversed(range(start, stop)):
        ds = do[t] @ V + ds  # ds_t = V^T do_t + W^T da_(t+1)
        da[t] = ds * run.slope(t)  # da_t = ds_t * f'(a_t)
        ds = da[t] @ W  # W^T da_t, what step t hands back
    return ds


def _gradients(run: RNNRun, do: Array, da: Array, ds_0: Array) -> Gradients:
    """The sums over the steps, each with what it is a sum of."""
    dx = da @ run.parameters["U"]
    terms = {
        "U": Term(da, run.x),
        "W": Term(da, run.s[:-1]),
        "V": Term(do, run.s[1:]),
        "b_a": Term(da),
        "b_y": Term(do),
    }
    return Gradients(dx, {"s_0": ds_0}, {"a": da, "o": do}, terms)


def _incoming(run: RNNRun, do: ArrayLike, ds_last: ArrayLike | None) -> tuple[Array, Array]:
    return floats("do", do, run.o.shape), optional("ds_last", ds_last, run.s[0].shape)
