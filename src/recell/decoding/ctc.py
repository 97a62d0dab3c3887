"""From a CTC network's scores to labels: the best symbol of each step, repeats merged, blanks dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recell.errors import DataError, ShapeError, message


def ctc_greedy(
    log_probabilities: ArrayLike, lengths: ArrayLike | None = None, *, blank: int = 0
) -> tuple[list[list[int]], NDArray[np.float64]]:
    """The labels of every sequence's best path, and -log of the probability of that path (Graves et al. 2006).

    log_probabilities (T, N, C), taken as they are; ``lengths`` (N,) steps count, all of them if not given. The best path is
    not always of the best labels: those need a search. Raises ShapeError or DataError for what does not fit.

    >>> ctc_greedy(np.log([[[0.1, 0.9]], [[0.2, 0.8]], [[0.7, 0.3]], [[0.4, 0.6]]]))[0]
    [[1, 1]]
    """
    scores = np.asarray(log_probabilities)
    if scores.ndim != 3 or not scores.shape[2] or scores.dtype.kind != "f":
        raise ShapeError(message("log_probabilities are numbers (T, N, C)", came=f"{scores.dtype} {scores.shape}",
                                 write="y[:, None] for one sequence"))  # fmt: skip
    if not 0 <= blank < scores.shape[2]:
        raise DataError(message(f"blank is one of the {scores.shape[2]} symbols", came=blank, write="blank=0"))
    counted = _counted(lengths, scores)
    paths, best = scores.argmax(2), scores.max(2)
    new = counted & (paths != blank)
    new[1:] &= paths[1:] != paths[:-1]
    prices = -np.where(counted, best, 0.0).sum(0, dtype=np.float64)
    return [path[chosen].tolist() for path, chosen in zip(paths.T, new.T, strict=True)], prices


def _counted(lengths: ArrayLike | None, scores: NDArray[Any]) -> NDArray[np.bool_]:
    """(T, N) whether a step is one of its sequence."""
    steps, rows = scores.shape[:2]
    given = np.full(rows, steps) if lengths is None else np.asarray(lengths)
    if given.shape != (rows,) or given.dtype.kind not in "iu":
        raise ShapeError(message(f"lengths has a whole number for each of {rows} sequences", came=f"{given.dtype} {given.shape}"))
    if ((given < 0) | (given > steps)).any():
        raise DataError(message("lengths go from 0 to the number of steps", came=given.tolist(), write=f"0 to {steps}"))
    return np.arange(steps)[:, None] < given
