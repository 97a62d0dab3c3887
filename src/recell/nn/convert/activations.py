"""Activations under the names that Keras 3 and ONNX have for them, as functions of the cell language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from recell.errors import CellError, DataError, message, unknown
from recell.language.functions import absolute, exp, maximum, minimum, relu, sigmoid, silu, softplus, tanh

Activation = Callable[[Any], Any]


def linear(v: Any) -> Any:
    return v


def softsign(v: Any) -> Any:
    return v / (1 + absolute(v))


def hard_sigmoid(alpha: float, beta: float) -> Activation:
    return lambda v: maximum(minimum(alpha * v + beta, 1.0), 0.0)


def elu(alpha: float, scale: float = 1.0) -> Activation:
    return lambda v: scale * (maximum(v, 0.0) + alpha * (exp(minimum(v, 0.0)) - 1))


def leaky_relu(slope: float) -> Activation:
    return lambda v: maximum(v, 0.0) + slope * minimum(v, 0.0)


# keras.activations of Keras 3. Keras 2's hard_sigmoid is another: lambda v: maximum(minimum(0.2 * v + 0.5, 1.0), 0.0).
KERAS: dict[str, Activation] = {
    "linear": linear, "sigmoid": sigmoid, "tanh": tanh, "relu": relu, "softplus": softplus, "softsign": softsign,
    "silu": silu, "swish": silu, "exponential": exp, "hard_sigmoid": hard_sigmoid(1 / 6, 0.5), "elu": elu(1.0),
    "selu": elu(1.6732632423543772, 1.0507009873554805), "leaky_relu": leaky_relu(0.2),
    "relu6": lambda v: minimum(relu(v), 6.0),
}  # fmt: skip

# ONNX's name -> the defaults of (activation_alpha, activation_beta) where it takes them, and the function of these.
ONNX: dict[str, tuple[tuple[float, ...], Callable[..., Activation]]] = {
    "Relu": ((), lambda: relu),
    "Tanh": ((), lambda: tanh),
    "Sigmoid": ((), lambda: sigmoid),
    "Softsign": ((), lambda: softsign),
    "Softplus": ((), lambda: softplus),
    "LeakyRelu": ((0.01,), leaky_relu),
    "Elu": ((1.0,), elu),
    "HardSigmoid": ((0.2, 0.5), hard_sigmoid),
    "Affine": ((1.0, 0.0), lambda alpha, beta: lambda v: alpha * v + beta),
    "ScaledTanh": ((1.0, 1.0), lambda alpha, beta: lambda v: alpha * tanh(beta * v)),
}


def keras_activation(given: object) -> Activation:
    """The function of a Keras name, of None (linear), or a function of the cell language as it is; CellError otherwise."""
    if given is None:
        return linear
    if callable(given):
        return given
    if not isinstance(given, str):
        raise CellError(message("an activation is a name of keras.activations or a function of recell's", came=repr(given)))
    if given not in KERAS:
        raise CellError(unknown("Keras activation that a cell can have", given, KERAS))
    return KERAS[given]


def onnx_activations(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Activation]:
    """The functions of ONNX's names, in any case; alphas and betas are used up in order by those that take them."""
    folded, first, second = {name.lower(): name for name in ONNX}, iter(alphas), iter(betas)
    made = [_onnx_activation(folded, name, first, second) for name in names]
    if next(first, None) is not None or next(second, None) is not None:
        raise DataError(
            message(
                f"the activations {', '.join(names)} take fewer numbers",
                came=f"activation_alpha={list(alphas)}, activation_beta={list(betas)}",
            )
        )
    return made


def _onnx_activation(folded: dict[str, str], name: str, *numbers: Iterator[float]) -> Activation:
    if not isinstance(name, str) or name.lower() not in folded:
        raise CellError(unknown("ONNX activation that a cell can have", str(name), ONNX))
    defaults, make = ONNX[folded[name.lower()]]
    return make(*[float(next(given, default)) for given, default in zip(numbers, defaults, strict=False)])
