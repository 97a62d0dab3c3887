"""The hard cells: each says something that the zoo's cells of today do not. The contract suite runs them too.

Beside each cell stands its step in plain NumPy, by hand from the same equations: an oracle that never saw a graph.
`p` maps parameter names to arrays, `s` state names to (N, size); a step returns the states' new values and the output.
"""

from __future__ import annotations

import numpy as np

from recell import (
    cell,
    coin,
    concat,
    dropout,
    exp,
    normalize,
    sigmoid,
    softmax,
    softplus,
    split,
    sum,
    tanh,
)  # fmt: skip

sigm = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731 - one line an equation
soft = lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True)  # noqa: E731


@cell(sizes={"y": "output"}, output="z")
def Jordan(p, x, y, *, activation=softmax):
    """Jordan (1986): the state is the network's own output; the logits are a local."""
    h = tanh(p.W @ x + p.U @ y + p.b)
    z = p.V @ h + p.c
    return activation(z)


def jordan_step(p, x, s, dt):
    h = np.tanh(x @ p["W"].T + s["y"] @ p["U"].T + p["b"])
    z = h @ p["V"].T + p["c"]
    return {"y": soft(z)}, z


@cell(sizes={"s": "context"}, defaults={"context": 40}, output=("h", "s"))
def SCRN(p, x, h, s, *, alpha=0.95):
    """Mikolov et al. (2015): a slow context beside a fast hidden state, a size of its own, an output of two parts."""
    s = (1 - alpha) * (p.B @ x) + alpha * s
    h = sigmoid(p.P @ s + p.A @ x + p.R @ h)
    return h, s


def scrn_step(p, x, s, dt):
    context = 0.05 * (x @ p["B"].T) + 0.95 * s["s"]
    h = sigm(context @ p["P"].T + x @ p["A"].T + s["h"] @ p["R"].T)
    return {"h": h, "s": context}, np.concatenate([h, context], 1)


@cell
def PackedLSTM(p, x, h, c):
    """An LSTM spelt as one product: concat and split, declared sizes."""
    z = p.matrix("W", rows="4*hidden") @ concat(x, h) + p.vector("b", rows="4*hidden")
    i, f, g, o = split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


def packed_lstm_step(p, x, s, dt):
    i, f, g, o = np.split(np.concatenate([x, s["h"]], 1) @ p["W"].T + p["b"], 4, axis=1)
    c = sigm(f) * s["c"] + sigm(i) * np.tanh(g)
    h = sigm(o) * np.tanh(c)
    return {"h": h, "c": c}, h


@cell
def Normed(p, x, h, dt):
    """Row operations, coins of both kinds, elapsed time, a number per row, a concat with it: all in one cell."""
    d = dropout(h, 0.3)
    z = normalize(p.W @ x + p.U @ d) * p.g + p.b
    s = sum(z * z)
    n = softmax(z) * exp(-softplus(p.tau) * dt) + p.scalar("k") * s * coin(like=h, rate=0.4, per="sequence")
    h = h * sigmoid(p.v @ concat(n, dt)) + n / (1 + s)
    return h


def normed_step(p, x, s, dt):
    a = x @ p["W"].T + (s["h"] * 0.7 / 0.7) @ p["U"].T  # in evaluation a coin is its expectation
    centred = a - a.mean(1, keepdims=True)
    z = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * p["g"] + p["b"]
    total = (z * z).sum(1, keepdims=True)
    n = soft(z) * np.exp(-np.log1p(np.exp(p["tau"])) * dt) + p["k"] * total * 0.4
    h = s["h"] * sigm(np.concatenate([n, dt], 1) @ p["v"].T) + n / (1 + total)
    return {"h": h}, h


CELLS = {c.name: c for c in (Jordan, SCRN, PackedLSTM, Normed)}
STEPS = {
    "Jordan": jordan_step, "SCRN": scrn_step, "PackedLSTM": packed_lstm_step,
    "Normed": normed_step,
}  # fmt: skip
