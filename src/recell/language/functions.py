"""The ops as functions: `sigmoid(v)`, `where(c, a, b)`, `split(v, 2)`; on plain numbers they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recell.errors import CellError, is_whole
from recell.graph.ops import OPS
from recell.language.value import Value, find_tracer


def _function(name: str) -> Callable[..., Any]:
    row = OPS[name]

    def function(*arguments: Any) -> Any:
        if len(arguments) != row.arity:
            raise CellError(f"{name} takes {row.arity} argument(s); came {len(arguments)}; write {name}({row.arguments})")
        tracer = find_tracer(arguments, name)
        if tracer is None and row.kind == "row":
            raise CellError(f"{name} reads a vector; came the number {arguments[0]!r}; write {name}(h)")
        if tracer is None:
            return float(row.numpy(*arguments))  # pyright: ignore[reportOptionalCall]
        return tracer.apply(name, *arguments)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}({', '.join(row.arguments.split())})` of values of the step."
    return function


sigmoid = _function("sigmoid")
tanh = _function("tanh")
relu = _function("relu")
softmax = _function("softmax")
exp = _function("exp")
log = _function("log")
sqrt = _function("sqrt")
sin = _function("sin")
cos = _function("cos")
floor = _function("floor")
softplus = _function("softplus")
silu = _function("silu")
maximum = _function("maximum")
minimum = _function("minimum")
where = _function("where")
mean = _function("mean")
absolute = _function("abs")
total = _function("sum")


def concat(*parts: Value) -> Value:
    """Values side by side in one vector; a number per row counts as one unit."""
    tracer = find_tracer(parts, "concat")
    if tracer is None or len(parts) < 2:
        raise CellError(f"concat takes two values or more; came {len(parts)}; write concat(a, b)")
    return tracer.concat(parts)


def split(value: Value, parts: int) -> tuple[Value, ...]:
    """`parts` vectors of equal size; the size must be divisible by it."""
    if not isinstance(value, Value) or not is_whole(parts, least=1):
        raise CellError(f"split takes a value and a number of parts; came {value!r}, {parts!r}; write split(v, 2)")
    return value.tracer.split(value, int(parts))


def normalize(value: Value, eps: float = 1e-5) -> Value:
    """The row less its mean, divided by its deviation: (v - mean) / sqrt(variance + eps)."""
    centred = value - mean(value)
    return centred / sqrt(mean(centred * centred) + eps)


def coin(like: Value, rate: float, per: str = "step") -> Value:
    """1 with probability `rate` in training, else 0; its expectation `rate` in evaluation.

    One coin a unit of `like`, drawn anew at every step or once a sequence (`per`). For a parameter, one coin an entry,
    drawn once a call for all rows and steps: `per="sequence"`.
    """
    if not isinstance(like, Value):
        raise CellError(f"coin takes a value for its shape; came {like!r}; write coin(like=h, rate=0.1)")
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        like.tracer.fail(f"the rate of a coin must be a number from 0 to 1; came {rate!r}; write rate=0.1")
    if per not in ("sequence", "step"):
        like.tracer.fail(f"per must be 'sequence' or 'step'; came {per!r}; write per='step'")
    return like.tracer.coin(like, float(rate), per)


def dropout(value: Value, rate: float, per: str = "step") -> Value:
    """Zeroes units with probability `rate` in training and scales the rest by 1 / (1 - rate) (Srivastava et al. 2014)."""
    if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise CellError(f"the rate of dropout must be a number from 0 to below 1; came {rate!r}; write rate=0.1")
    return value * ((1 - coin(like=value, rate=rate, per=per)) / (1 - rate))  # exactly `value` in evaluation
