"""A loss over two weights: plateaus, cliffs, and what clipping the gradient does at a cliff's edge.

One tanh unit without input runs 50 steps from s_0 = 0.5, and shall end at 0.7:

    s_t = tanh(w s_(t-1) + b)              L(w, b) = (s_50 - 0.7)^2 / 2

Where the unit is driven into saturation it ends near 1 or near -1, whatever the weights are in detail: two plateaus,
with hardly a gradient. Where it tips from one to the other a small change of b decides: a cliff, with a huge one.
Gradient descent moves (w, b) by -rate dL/d(w, b). On the edge of the cliff that throws the weights far away; clipping
shortens a gradient that is longer than a limit to the limit and keeps its direction (Pascanu et al. 2013):

    g <- g limit / |g|   where |g| > limit
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recell.by_hand.outputs import squared_error, squared_error_gradient
from recell.by_hand.rnn import RNNRun, rnn_backward, rnn_forward
from recell.worked.table import Table, Worked, table, worked

Array = np.ndarray[Any, Any]

STEPS, START, TARGET = 50, 0.5, 0.7
W_GRID, B_GRID = np.linspace(0, 3, 7), np.linspace(-1, 1, 9)
FIRST, RATE, LIMIT, DESCENT = (2.25, -0.5), 0.05, 1.0, 300


def surface(first: tuple[float, float] = FIRST, rate: float = RATE, limit: float = LIMIT) -> Worked:
    """The loss on a grid of w and b, then gradient descent from `first`, without clipping and with it."""
    grid = table(("w", *(f"b = {b:g}" for b in B_GRID)), [(w, *losses(w, B_GRID)) for w in W_GRID], "The loss:")
    said = f"Descent: {DESCENT} steps at rate {rate} from w = {first[0]}, b = {first[1]}; the gradient is clipped at {limit}."
    return worked(
        __doc__,
        grid,
        _paths(first, rate, limit),
        said=said,
        source="recell.by_hand; after the surface of one unit in Pascanu, Mikolov & Bengio (2013)",
    )


def loss(w: float, b: float) -> float:
    """L(w, b)."""
    return squared_error(_forward(w, b).o[-1], [[TARGET]])


def losses(w: float, b: Sequence[float] | Array) -> Array:
    """L(w, b) for many b at once: each is a row whose input is b at every step, taken with the weight 1."""
    parameters = {"U": [[1.0]], "W": [[w]], "V": [[1.0]], "b_a": [0.0], "b_y": [0.0]}
    x = np.tile(np.array(b)[:, None], (STEPS, 1, 1))
    run = rnn_forward(x, parameters, np.full((len(b), 1), START), output="linear")
    return np.array([squared_error(o, [TARGET]) for o in run.o[-1]])


def gradient(w: float, b: float) -> Array:
    """(dL/dw, dL/db), by back-propagation through time."""
    run = _forward(w, b)
    do = np.zeros_like(run.o)
    do[-1] = squared_error_gradient(run.o[-1], [[TARGET]])
    found = rnn_backward(run, do).parameters
    return np.array([found["W"].item(), found["b_a"].item()])


def descent(first: Sequence[float], rate: float, limit: float | None) -> Iterator[tuple[float, float, float, float]]:
    """w, b, the loss and the gradient's norm before each step, and after the last."""
    weights = np.array(first, float)
    for _ in range(DESCENT + 1):
        slope = gradient(*weights)
        norm = float(np.linalg.norm(slope))
        yield float(weights[0]), float(weights[1]), loss(*weights), norm
        weights -= rate * slope * (limit / norm if limit is not None and norm > limit else 1)


def _forward(w: float, b: float) -> RNNRun:
    parameters = {"U": [[0.0]], "W": [[w]], "V": [[1.0]], "b_a": [b], "b_y": [0.0]}
    return rnn_forward(np.zeros((STEPS, 1, 1)), parameters, [[START]], output="linear")


def _paths(first: Sequence[float], rate: float, limit: float) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name, applied in (("no", None), ("yes", limit)):
        path = list(descent(first, rate, applied))
        steepest = int(np.argmax([norm for *_, norm in path]))
        for step in sorted({0, steepest, min(steepest + 1, DESCENT), *range(0, DESCENT + 1, 100)}):
            rows.append((name, step, *path[step]))
    return table(
        ("clipped", "step", "w", "b", "loss", "norm of the gradient"),
        rows,
        "Two descents; shown are some steps, the one with the steepest slope among them:",
    )


def picture(figure: Any) -> None:
    """The loss as colours, with both descents on it as far as they stay in the picture."""
    w, b = np.linspace(0, 3, 121), np.linspace(-1.5, 1, 121)
    heights = np.array([losses(x, b) for x in w]).T
    axes = figure.subplots()
    figure.colorbar(axes.pcolormesh(w, b, heights, cmap="viridis", shading="nearest"), label="loss")
    for name, limit, colour in (("no clipping", None, "red"), (f"clipped at {LIMIT:g}", LIMIT, "white")):
        path = np.array([step[:2] for step in descent(FIRST, RATE, limit)])
        axes.plot(*path.T, marker=".", markersize=3, linewidth=1, color=colour, label=name)
    axes.set(xlim=(0, 3), ylim=(-1.5, 1), xlabel="w", ylabel="b", title="The loss of one unit after 50 steps")
    axes.legend(facecolor="grey")
