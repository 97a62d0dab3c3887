"""Connectionist temporal classification: the probability of labels without an alignment (Graves et al. 2006).

A network gives probabilities y_t,k of K symbols at each of T steps; one symbol is the blank. A path is one symbol
a step. It reads as labels by merging repeats, then dropping blanks: "a a - a b b" reads "a a b". The probability
of labels is the sum over all paths that read so, and the loss is L = -log p. There are far too many paths to list;
but all that share a prefix can be summed at once.

Put a blank before, between and after the labels: l = (-, l_1, -, l_2, ..., -), S = 2 * labels + 1 places. A path
walks through the places: each step it stays, goes one on, or skips a blank between two different labels.

    alpha_t(s)  the probability of all paths over steps 1..t that end at place s, step t included
    alpha_1(1)  = y_1,l(1)      alpha_1(2) = y_1,l(2)      all others 0
    alpha_t(s)  = (alpha_(t-1)(s) + alpha_(t-1)(s-1) + [skip into s] alpha_(t-1)(s-2)) y_t,l(s)

    beta_t(s)   the probability of all ways to finish after step t from place s, step t not included
    beta_T(S)   = 1             beta_T(S-1) = 1            all others 0
    beta_t(s)   = sum over s' = s, s+1, [skip into s+2] s+2 of beta_(t+1)(s') y_(t+1),l(s')

    p = alpha_T(S) + alpha_T(S-1) = sum_s alpha_t(s) beta_t(s)       for any t

The gradient. p is linear in each y_t,k, and the paths that use it are those at a place s with l(s) = k:

    dp/dy_t,k     = sum_(s: l(s) = k) alpha_t(s) beta_t(s) / y_t,k
    dL/dlog y_t,k = -(y_t,k / p) dp/dy_t,k = -sum_(s: l(s) = k) alpha_t(s) beta_t(s) / p = -gamma_t,k

gamma_t,k is the share of the probability that goes through symbol k at step t, so sum_k gamma_t,k = 1. With
y = softmax(o) and dlog y_i/do_j = [i = j] - y_j (softmax.py):

    dL/do_t,j = -sum_i gamma_t,i ([i = j] - y_t,j) = y_t,j - gamma_t,j

the same form as for cross-entropy, with gamma in the target's place. Products of hundreds of probabilities vanish,
so all is computed in logarithms: products become sums, and sums become log(exp(a) + exp(b)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recell.by_hand.checks import Array, Integers, floats, integers
from recell.by_hand.softmax import log_softmax
from recell.errors import DataError, ShapeError, message


def ctc_loss(logits: ArrayLike, labels: ArrayLike, *, blank: int = 0) -> float:
    """L = -log p(labels), in nats; infinite where T steps are too few for the labels (Graves et al. 2006).

    `logits` (T, K) are the scores of K symbols before the softmax (log-probabilities do as well: softmax leaves them
    as they are); `labels` (U,) without the blank, may be empty. Raises ShapeError for other shapes, DataError for
    symbols that do not exist.
    """
    log_y, l = _checked(logits, labels, blank)
    alpha = log_alpha(log_y, l, blank)
    return float(-np.logaddexp.reduce(alpha[-1, -2:]))


def ctc_gradient(logits: ArrayLike, labels: ArrayLike, *, blank: int = 0) -> Array:
    """dL/dlogits (T, K) = softmax(logits) - gamma; arguments as for `ctc_loss`.

    Raises DataError where no path of T steps reads as the labels: the loss is infinite and has no gradient.
    """
    log_y, l = _checked(logits, labels, blank)
    alpha, beta = log_alpha(log_y, l, blank), log_beta(log_y, l, blank)
    log_p = np.logaddexp.reduce(alpha[-1, -2:])
    if np.isneginf(log_p):
        raise DataError(message("no path reads as these labels, so the loss has no gradient", came=f"{len(log_y)} steps",
                                write="more steps, or fewer labels"))
    log_share = alpha + beta - log_p  # (T, S)
    gamma = np.zeros_like(log_y)
    for s, symbol in enumerate(l):
        gamma[:, symbol] += np.exp(log_share[:, s])
    return np.exp(log_y) - gamma


def log_alpha(log_y: Array, l: Integers, blank: int) -> Array:
    """log alpha_t(s) (T, S), from log-probabilities (T, K) and the labels with their blanks (S,)."""
    alpha = np.full((len(log_y), len(l)), -np.inf)
    alpha[0, :2] = log_y[0, l[:2]]
    skip = _may_skip_into(l, blank)
    for t in range(1, len(log_y)):
        reached = alpha[t - 1].copy()
        reached[1:] = np.logaddexp(reached[1:], alpha[t - 1, :-1])
        reached[2:] = np.logaddexp(reached[2:], np.where(skip[2:], alpha[t - 1, :-2], -np.inf))
        alpha[t] = reached + log_y[t, l]
    return alpha


def log_beta(log_y: Array, l: Integers, blank: int) -> Array:
    """log beta_t(s) (T, S), from log-probabilities (T, K) and the labels with their blanks (S,)."""
    beta = np.full((len(log_y), len(l)), -np.inf)
    beta[-1, -2:] = 0
    skip = _may_skip_into(l, blank)
    for t in reversed(range(len(log_y) - 1)):
        onward = beta[t + 1] + log_y[t + 1, l]
        beta[t] = onward
        beta[t, :-1] = np.logaddexp(beta[t, :-1], onward[1:])
        beta[t, :-2] = np.logaddexp(beta[t, :-2], np.where(skip[2:], onward[2:], -np.inf))
    return beta


def ctc_greedy(log_probabilities: ArrayLike, *, blank: int = 0) -> tuple[list[int], float]:
    """The labels that the best path reads as, and -log of that path's probability: the best symbol of each step.

    `log_probabilities` (T, K), taken as they are. The best path is not always of the best labels (those need a
    search), but often. Raises ShapeError or DataError.
    """
    log_y = floats("log_probabilities", log_probabilities, ("T", "K"))
    integers("blank", blank, log_y.shape[1], 0)
    path = log_y.argmax(1) if len(log_y) else np.zeros(0, np.int64)
    labels = [int(k) for t, k in enumerate(path) if k != blank and (t == 0 or k != path[t - 1])]
    return labels, float(-log_y.max(1, initial=-np.inf).sum())


def _may_skip_into(l: Integers, blank: int) -> NDArray[np.bool_]:
    """(S,) True where place s may be reached from s - 2: a label, and another one than there."""
    skip = np.zeros(len(l), np.bool_)
    skip[2:] = (l[2:] != blank) & (l[2:] != l[:-2])
    return skip


def _checked(logits: ArrayLike, labels: ArrayLike, blank: int) -> tuple[Array, Integers]:
    """Log-probabilities (T, K), and the labels with a blank before, between and after them (S,)."""
    scores = floats("logits", logits, ("T", "K"))
    if 0 in scores.shape:
        raise ShapeError(message("logits have at least one step and one symbol", came=scores.shape, write="(T, K)"))
    integers("blank", blank, scores.shape[1], 0)
    given = integers("labels", labels, scores.shape[1], 1)
    if (given == blank).any():
        raise DataError(message("labels hold the blank, which only paths have", came=f"blank={blank}"))
    l = np.full(2 * len(given) + 1, blank, np.int64)
    l[1::2] = given
    return log_softmax(scores), l
