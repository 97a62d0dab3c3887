"""Vanishing and exploding: what a thousand steps make of a weight just above or below 1, and how far gradients reach.

One linear unit with one weight, an input of 1 at the first step and of 0 ever after:

    h_t = w h_(t-1) + x_t              h_1000 = w^999              dh_1000/dw = 999 w^998

From 0.99 to 1.01 is a small step for w and a cliff for the output; below, at 0.01, nothing arrives at all. In a network
the same happens to gradients, as each step back multiplies them by the step's Jacobian (Bengio et al. 1994):

    dL/dh_(t-k) = J_(t-k+1)^T ... J_(t-1)^T J_t^T dL/dh_t

The second table measures it: |dL/dx| k steps before the last, over that at the last, L a random linear function of the
last output. Each cell starts as its paper or the library says. IRNN's recurrent matrix starts as the identity. An LSTM
multiplies the gradient of its memory by the forget gate, which a bias of 0 half closes and a bias of 3 leaves open; where
a number is above 1, the gradient has grown on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from recell.language.cell import cell
from recell.nn.recurrent import Recurrent
from recell.worked.learning import seeded
from recell.worked.running import run
from recell.worked.table import Table, Worked, table, worked

WEIGHTS = (1.01, 1.0, 0.99, 0.01)
STEPS = 1000
CELLS = ("Elman", "IRNN", "LSTM", "LSTM, b_f = 3", "GRU")
LAGS = (0, 1, 2, 5, 10, 20, 50, 100)
INPUT, HIDDEN, ROWS = 16, 64, 8


@cell
def Power(p, x, h):
    return p.w * h + x


def vanishing(cells: Sequence[str] = CELLS, seed: int = 0) -> Worked:
    """w^999 for four weights, then the gradient's norm by lag for `cells`, names of `recell.cells`, "LSTM, b_f = 3" too."""
    said = (f"The second table: {ROWS} random sequences of {max(LAGS) + 1} steps, {INPUT} inputs, {HIDDEN} units, seed {seed}. "
            "No cell has learned anything yet.")  # fmt: skip
    return worked(
        __doc__,
        _powers(),
        _by_lag(cells, seed),
        said=said,
        source="Bengio, Simard & Frasconi (1994); Pascanu, Mikolov & Bengio (2013); IRNN: Le, Jaitly & Hinton (2015)",
    )


def _powers() -> Table:
    """One unit for each weight, all run at once."""
    x = np.zeros((STEPS, len(WEIGHTS)))
    x[0] = 1
    ran = run(Power, x, {"w": WEIGHTS}, hidden=len(WEIGHTS))
    last = np.zeros_like(ran.y)
    last[-1] = 1
    slopes = ran.gradients(last)["w"]
    columns = ("w", f"h_{STEPS}, from h_1 = 1", f"dh_{STEPS}/dw")
    return table(columns, zip(WEIGHTS, ran.y[-1], slopes, strict=True))


def _by_lag(cells: Sequence[str], seed: int) -> Table:
    norms = [gradient_by_lag(name, max(LAGS), seed) for name in cells]
    rows = [(lag, *(norm[lag] / norm[0] for norm in norms)) for lag in LAGS]
    return table(("lag", *cells), rows, "The gradient's norm by lag, over that at lag 0:")


def gradient_by_lag(name: str, longest: int, seed: int) -> list[float]:
    """|dL/dx| of the input 0, 1, ..., `longest` steps before the last one. A name may set a bias: "LSTM, b_f = 3"."""
    plain, _, bias = name.partition(", ")
    with seeded(seed):
        x = torch.randn(longest + 1, ROWS, INPUT, dtype=torch.float64, requires_grad=True)
        network = Recurrent(plain, INPUT, HIDDEN, dtype=torch.float64)
        if bias:
            parameter, _, number = bias.partition(" = ")
            network.initialize(**{parameter: float(number)})
        y, _ = network(x)
        direction = torch.randn_like(y[-1])
    (y[-1] * direction).sum().backward()
    assert x.grad is not None
    return x.grad.flatten(1).norm(dim=1).flip(0).tolist()


def picture(figure: Any) -> None:
    """The powers of w by step, and the gradient's norm by lag."""
    powers, lags = figure.subplots(1, 2)
    x = np.zeros((STEPS, len(WEIGHTS)))
    x[0] = 1
    h = run(Power, x, {"w": WEIGHTS}, hidden=len(WEIGHTS)).y
    for k, w in enumerate(WEIGHTS):
        powers.semilogy(range(STEPS), np.where(h[:, k] > 1e-12, h[:, k], np.nan), label=f"w = {w}")
    powers.set(title="w to the power of t", xlabel="t")
    for name in CELLS:
        norms = np.array(gradient_by_lag(name, max(LAGS), 0))
        lags.semilogy(norms / norms[0], label=name)
    lags.set(title="norm of the gradient", xlabel="lag in steps")
    for axes in (powers, lags):
        axes.legend()
        axes.grid(visible=True, alpha=0.3)
