"""What a network's scores o become, and the loss that belongs to it: softmax, sigmoid or linear.

Sigmoid, for classes that do not exclude each other, each with its own binary cross-entropy:

    y_i     = 1 / (1 + exp(-o_i))
    L       = -sum_i (t_i log y_i + (1 - t_i) log (1 - y_i))
    dL/dy_i = -t_i / y_i + (1 - t_i) / (1 - y_i) = (y_i - t_i) / (y_i (1 - y_i))
    dL/do_i = dL/dy_i dy_i/do_i = dL/dy_i y_i (1 - y_i) = y_i - t_i

Linear, for numbers, with half the squared error:

    y_i     = o_i
    L       = sum_i (y_i - t_i)^2 / 2
    dL/do_i = y_i - t_i

So with softmax (softmax.py) three outputs have one gradient: what came out minus what should have come. That
is no accident: each is the canonical link of its distribution (McCullagh & Nelder 1989).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.activations import sigmoid
from recell.by_hand.checks import Array, floats
from recell.by_hand.softmax import cross_entropy, cross_entropy_gradient, scores, softmax


def binary_cross_entropy(o: ArrayLike, targets: ArrayLike) -> float:
    """L = -sum (t log y + (1 - t) log(1 - y)) with y = sigmoid(o), in nats, over everything; both of one shape.

    With log y = -log(1 + exp(-o)) and log(1 - y) = log y - o it becomes log(1 + exp(o)) - t o, which never
    takes the logarithm of 0. Raises ShapeError where the shapes differ.
    """
    o = scores(o)
    t = floats("targets", targets, o.shape)
    return float((np.logaddexp(0, o) - t * o).sum())


def binary_cross_entropy_gradient(o: ArrayLike, targets: ArrayLike) -> Array:
    """dL/do = sigmoid(o) - t, of the shape of o."""
    o = scores(o)
    t = floats("targets", targets, o.shape)
    return sigmoid(o) - t


def squared_error(o: ArrayLike, targets: ArrayLike) -> float:
    """L = sum (o - t)^2 / 2, over everything; both of one shape."""
    o = scores(o)
    t = floats("targets", targets, o.shape)
    return float(((o - t) ** 2).sum() / 2)


def squared_error_gradient(o: ArrayLike, targets: ArrayLike) -> Array:
    """dL/do = o - t, of the shape of o."""
    o = scores(o)
    t = floats("targets", targets, o.shape)
    return o - t


@dataclass(frozen=True)
class Output:
    """What the scores become, the loss of targets given the scores, and the gradient of that by the scores."""

    apply: Callable[[Array], Array]
    loss: Callable[[ArrayLike, ArrayLike], float]
    gradient: Callable[[ArrayLike, ArrayLike], Array]


OUTPUTS = {
    "softmax": Output(softmax, cross_entropy, cross_entropy_gradient),
    "sigmoid": Output(sigmoid, binary_cross_entropy, binary_cross_entropy_gradient),
    "linear": Output(lambda o: o, squared_error, squared_error_gradient),
}
