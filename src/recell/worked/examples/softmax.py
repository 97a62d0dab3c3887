"""Softmax: scores become probabilities, and the gradient becomes what came out minus what should have come.

    y_i = exp(o_i) / sum_j exp(o_j)            positive, and they sum to 1
    dy_i/do_j = y_i ([i = j] - y_j)            the Jacobian: raising one score lowers all others
    L = -log y_k                               the cross-entropy, where k is the right class
    dL/do_i = y_i - t_i                        t_k = 1, and 0 elsewhere

Adding the same number to every score changes nothing: it cancels in the quotient (the column `+ 100`).
`difference` measures dL/do_i by moving o_i by 1e-5 up and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recell.by_hand.gradient_check import central_differences
from recell.by_hand.softmax import cross_entropy, cross_entropy_gradient, one_hot, softmax_jvp
from recell.by_hand.softmax import softmax as probabilities
from recell.worked.table import Worked, table, worked

SCORES = (1.0, 2.0, 4.0)


def softmax(scores: Sequence[float] = SCORES, target: int = 1) -> Worked:
    """Scores (classes,) with the right class `target`, counted from 0: probabilities, Jacobian, loss and its gradient."""
    o = np.array(scores, float)
    y, t = probabilities(o), one_hot(target, len(o))
    jacobian = softmax_jvp(np.tile(y, (len(o), 1)), np.eye(len(o)))
    gradient = cross_entropy_gradient(o, t)
    measured = central_differences(lambda: cross_entropy(o, t), o)
    columns = ("class", "score o", "exp(o)", "y", "+ 100", *(f"dy/do_{j}" for j in range(len(o))), "t", "dL/do", "difference")
    shifted = probabilities(o + 100)
    rows: list[tuple[Any, ...]] = [
        (i, o[i], np.exp(o[i]), y[i], shifted[i], *jacobian[i], t[i], gradient[i], measured[i]) for i in range(len(o))
    ]
    rows.append(("sum", None, np.exp(o).sum(), y.sum(), shifted.sum(), *jacobian.sum(0), t.sum(), gradient.sum(), measured.sum()))
    return worked(
        __doc__,
        table(columns, rows),
        source="recell.by_hand; Bridle (1990)",
        said=f"The loss of class {target} is L = {cross_entropy(o, t):.4f} nats.",
    )
