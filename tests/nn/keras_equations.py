"""Keras's SimpleRNN, LSTM and GRU as their equations, in NumPy: what its layers are held against."""

from __future__ import annotations

import numpy as np

GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def keras_step(kind, config, weights, x, states):
    """One step as Keras writes it; activations softsign and hard_sigmoid."""
    activation = (lambda v: v / (1 + np.abs(v))) if config.get("activation") == "softsign" else np.tanh
    gate = (lambda v: np.clip(v / 6 + 0.5, 0, 1)) if config.get("recurrent_activation") == "hard_sigmoid" else sigmoid
    kernel, recurrent, bias = (*weights, 0.0)[:3]
    h = states[0]
    if kind == "SimpleRNN":
        return (activation(x @ kernel + bias + h @ recurrent),)
    if kind == "LSTM":
        i, f, c, o = np.split(x @ kernel + h @ recurrent + bias, 4, -1)
        new = gate(f) * states[1] + gate(i) * activation(c)
        return gate(o) * activation(new), new
    units = h.shape[-1]
    into, back = (bias if config.get("reset_after", True) else (bias, 0.0)) if len(weights) == 3 else (0.0, 0.0)
    xs, inner = np.split(x @ kernel + into, 3, -1), h @ recurrent + back
    z, r = gate(xs[0] + inner[..., :units]), gate(xs[1] + inner[..., units : 2 * units])
    last = r * inner[..., 2 * units :] if config.get("reset_after", True) else (r * h) @ recurrent[:, 2 * units :]
    return (z * h + (1 - z) * activation(xs[2] + last),)


def keras_run(kind, config, weights, x, mask, states):
    """All outputs in the order of processing and the last states; a masked step repeats both."""
    steps = range(x.shape[1])[:: -1 if config.get("go_backwards") else 1]
    outputs, y = [], states[0]
    for t in steps:
        new = keras_step(kind, config, weights, x[:, t], states)
        states = tuple(np.where(mask[:, t, None], n, s) for n, s in zip(new, states, strict=True))
        y = np.where(mask[:, t, None], new[0], y)
        outputs.append(y)
    return np.stack(outputs, 1), states


def random_weights(kind, config, width, units, generator):
    columns = GATES[kind] * units
    rows = (2, columns) if kind == "GRU" and config.get("reset_after", True) else (columns,)
    shapes = [(width, columns), (units, columns)] + ([rows] if config.get("use_bias", True) else [])
    return [generator.normal(size=shape) for shape in shapes]
