"""The functions that gates and states go through, and their slopes, written in what comes out.

    tanh:     s = tanh(a)              ds/da = 1 - tanh(a)^2          = 1 - s^2
    relu:     s = max(a, 0)            ds/da = 1 where a > 0, else 0  = 1 where s > 0, else 0
    sigmoid:  s = 1 / (1 + exp(-a))    ds/da = exp(-a) / (1 + exp(-a))^2 = s (1 - s)

All three slopes can be read from the output s alone: a need not be kept for the backward pass. relu has no
slope at 0; 0 is taken there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recell.by_hand.checks import Array


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)) of any shape, written with tanh so that no exp overflows: (1 + tanh(a / 2)) / 2."""
    return 0.5 * (1 + np.tanh(0.5 * a))


def sigmoid_slope(s: Array) -> Array:
    """The slope of `sigmoid` as a function of what came out: s (1 - s), of any shape."""
    return s * (1 - s)


def tanh(a: Array) -> Array:
    """The hyperbolic tangent of any shape."""
    return np.tanh(a)


def tanh_slope(s: Array) -> Array:
    """The slope of `tanh` as a function of what came out: 1 - s^2."""
    return 1 - s**2


def relu(a: Array) -> Array:
    """max(a, 0), of any shape."""
    return np.maximum(a, 0)


def relu_slope(s: Array) -> Array:
    """The slope of `relu` as a function of what came out: 1 where it is above 0, else 0."""
    return (s > 0).astype(np.float64)


# name -> (the function of a, its slope as a function of what came out)
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (tanh, tanh_slope),
    "relu": (relu, relu_slope),
}
