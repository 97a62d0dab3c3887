"""Softmax, and the cross-entropy of a sequence, with their derivatives (Bridle 1990).

Softmax makes probabilities out of scores o (called logits):

    y_i = exp(o_i) / sum_j exp(o_j)

Its derivative. With S = sum_j exp(o_j), so that dS/do_j = exp(o_j), the quotient rule gives

    dy_i/do_j = ([i = j] exp(o_i) S - exp(o_i) exp(o_j)) / S^2 = y_i ([i = j] - y_j)

so the Jacobian is J = diag(y) - y y^T. It is symmetric, and its product with a vector v needs no matrix:

    (J v)_i = y_i v_i - y_i sum_j y_j v_j = y_i (v_i - y . v)

The cross-entropy between a target distribution t and y is L = -sum_i t_i log y_i; where the target is one
class k, L = -log y_k. Over a sequence the losses of all steps are summed. Its derivative by the logits:

    log y_i     = o_i - log S
    dlog y_i/do_j = [i = j] - y_j
    dL/do_j     = -sum_i t_i ([i = j] - y_j) = -t_j + y_j sum_i t_i = y_j - t_j      since sum_i t_i = 1

All the exponentials are gone: the gradient is what came out minus what should have come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.checks import Array, floats, integers
from recell.errors import DataError, ShapeError, message


def softmax(o: ArrayLike) -> Array:
    """Probabilities out of logits, along the last axis: shape (..., classes) to (..., classes).

    The largest logit is taken off first: it cancels in the quotient, and no exp overflows.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    o = scores(o)
    exponentials = np.exp(o - o.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def log_softmax(o: ArrayLike) -> Array:
    """log y_i = o_i - log sum_j exp(o_j), along the last axis; exact where y_i itself would be 0."""
    o = scores(o)
    shifted = o - o.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def softmax_jvp(y: ArrayLike, v: ArrayLike) -> Array:
    """J v = y (v - y . v) at probabilities y; both (..., classes). As J is symmetric, this is v^T J too.

    Raises ShapeError where y and v differ in shape.
    """
    y = scores(y)
    v = floats("v", v, y.shape)
    return y * (v - (y * v).sum(-1, keepdims=True))


def cross_entropy(o: ArrayLike, targets: ArrayLike) -> float:
    """L = -sum_i t_i log softmax(o)_i, in nats, summed over every step and row.

    o (..., classes) are logits. `targets` are class numbers (...), or distributions (..., classes) that sum
    to 1. Raises ShapeError or DataError for others.

    >>> round(cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1]), 4)      # 2 log 2
    1.3863
    """
    o = scores(o)
    t = distributions(targets, o.shape)
    log_y = log_softmax(o)
    return float(-np.where(t == 0, 0, t * log_y).sum())  # 0 log 0 = 0


def cross_entropy_gradient(o: ArrayLike, targets: ArrayLike) -> Array:
    """dL/do = softmax(o) - t, of the shape of o; arguments as for `cross_entropy`."""
    o = scores(o)
    t = distributions(targets, o.shape)
    return softmax(o) - t


def one_hot(ids: ArrayLike, classes: int) -> Array:
    """(..., classes): 1 at the class that `ids` (...) names, 0 elsewhere. Raises DataError for a class that isn't there."""
    return np.eye(classes)[integers("targets", ids, classes, np.ndim(ids))]


def distributions(targets: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Targets as distributions of `shape` (..., classes), from class numbers or from distributions."""
    if np.shape(targets) == shape[:-1]:
        return one_hot(targets, shape[-1])
    if np.shape(targets) != shape:
        wanted = f"class numbers {shape[:-1]} or distributions {shape}"
        raise ShapeError(message("targets do not fit the logits", came=np.shape(targets), write=wanted))
    t = floats("targets", targets, shape)
    if not (t >= 0).all() or not np.allclose(t.sum(-1), 1):
        raise DataError(message("a target distribution is not negative and sums to 1", came=f"sums up to {t.sum(-1).max():.6g}"))
    return t


def scores(o: ArrayLike) -> Array:
    """An array with at least one class along its last axis."""
    array = floats("scores", o, tuple("abcdefgh"[: np.ndim(o)]))
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ShapeError(message("scores have one class or more along their last axis", came=array.shape, write="(..., classes)"))
    return array
