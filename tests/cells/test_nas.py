from __future__ import annotations

import numpy as np

from tests.cells.by_hand import equals_by_hand, relu, sigm


def step(p, x, s):
    """In the order of tfa.rnn.NASCell: eight leaves, four pairs, the memory, two branches."""
    given, recurrent = [x @ p[f"W_{k}"].T for k in range(8)], [s["h"] @ p[f"U_{k}"].T for k in range(8)]
    pair = [a * b if k == 3 else a + b for k, (a, b) in enumerate(zip(given, recurrent, strict=True))]
    activations = (sigm, relu, sigm, relu, np.tanh, sigm, np.tanh, sigm)
    leaf = [activation(value) for activation, value in zip(activations, pair, strict=True)]
    c = np.tanh(np.tanh(leaf[0] * leaf[1]) + s["c"]) * np.tanh(leaf[2] + leaf[3])
    right = np.tanh(np.tanh(leaf[4] * leaf[5]) + sigm(leaf[6] + leaf[7]))
    return {"h": np.tanh(c * right), "c": c}


def test_step() -> None:
    equals_by_hand("NAS", step)
