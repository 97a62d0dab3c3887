"""Recurrent layers in JAX: `lax.scan` over the time steps, compiled by `jax.jit`, with the input's products before the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recell.bench.sides import Shape, optional
from recell.bench.timing import Step

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "own": 4}  # rows of W and U, in multiples of hidden
UNROLLS = (1, 5)  # steps of the loop that are compiled into one; which is faster differs from shape to shape
Pointwise = Callable[..., Any]


def training_steps(kind: str, shape: Shape) -> dict[str, Step]:
    """Forward and backward with the gradients of x and all parameters, one side for each unrolling."""
    return {f"JAX lax.scan, unroll={unroll}": training_step(kind, shape, unroll) for unroll in UNROLLS}


def training_step(kind: str, shape: Shape, unroll: int = 1) -> Step:
    jax = optional("jax")
    gradients = gradients_of(jax, kind, shape[1], shape[3], unroll)
    given = jax.device_put(draw(kind, shape))
    return lambda: jax.block_until_ready(gradients(*given))


def draw(kind: str, shape: Shape) -> tuple[dict[str, Any], Any, Any]:
    """(parameters, x, dy); GRU alone reads c, the bias inside its reset."""
    steps, batch, inputs, hidden = shape
    random, rows = np.random.default_rng(0), GATES[kind] * hidden
    drawn = {"W": (inputs, rows), "U": (hidden, rows), "b": (rows,), "c": (hidden,)}
    parameters = {name: _uniform(random, dims, hidden) for name, dims in drawn.items()}
    x, dy = (random.standard_normal((steps, batch, size)).astype(np.float32) for size in (inputs, hidden))
    return parameters, x, dy


def gradients_of(jax: Any, kind: str, batch: int, hidden: int, unroll: int) -> Pointwise:
    """(parameters, x, dy) -> (y, (gradients of the parameters, of x)), compiled."""
    sequence = _sequence(jax, kind, batch, hidden, unroll)

    def gradients(parameters: Any, x: Any, dy: Any) -> Any:
        y, back = jax.vjp(sequence, parameters, x)
        return y, back(dy)

    return jax.jit(gradients)


def _uniform(random: np.random.Generator, dims: tuple[int, ...], hidden: int) -> Any:
    return random.uniform(-(hidden**-0.5), hidden**-0.5, dims).astype(np.float32)


def _sequence(jax: Any, kind: str, batch: int, hidden: int, unroll: int) -> Pointwise:
    """(parameters, x) -> y (T, B, hidden)."""
    advance = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn, "own": _own}[kind]
    start = (jax.numpy.zeros((batch, hidden)),) * (2 if GATES[kind] == 4 else 1)

    def sequence(parameters: Any, x: Any) -> Any:
        def step(state: Any, given: Any) -> Any:
            state = advance(jax, parameters, given, state)
            return state, state[0]

        given = x @ parameters["W"] + parameters["b"]  # all steps in one product
        return jax.lax.scan(step, start, given, unroll=unroll)[1]

    return sequence


def _lstm(jax: Any, parameters: Any, given: Any, state: Any) -> Any:
    h, c = state
    i, f, g, o = jax.numpy.split(given + h @ parameters["U"], 4, axis=-1)
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _own(jax: Any, parameters: Any, given: Any, state: Any) -> Any:
    h, c = state
    i, f, g, o = jax.numpy.split(given + h @ parameters["U"], 4, axis=-1)
    sigmoid, tanh = jax.nn.sigmoid, jax.numpy.tanh
    f = sigmoid(f)
    c = f * c + (1 - f) * sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(jax: Any, parameters: Any, given: Any, state: Any) -> Any:
    (h,) = state
    r, z, n = jax.numpy.split(given, 3, axis=-1)
    r_h, z_h, n_h = jax.numpy.split(h @ parameters["U"], 3, axis=-1)
    reset, update = jax.nn.sigmoid(r + r_h), jax.nn.sigmoid(z + z_h)
    candidate = jax.numpy.tanh(n + reset * (n_h + parameters["c"]))
    return ((1 - update) * candidate + update * h,)


def _rnn(jax: Any, parameters: Any, given: Any, state: Any) -> Any:
    return (jax.numpy.tanh(given + state[0] @ parameters["U"]),)
