"""Initialisers: they fill a tensor in place, without recording a gradient, and return it.

Matrices are (rows, columns) = (out, in). Names for `Recurrent.initialize` and a cell's `init=` leave out the underscore.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recell.errors import DataError, ShapeError, message

Init = float | str | Callable[..., Any]


def uniform_fan_in_(tensor: Tensor, fan_in: int | None = None) -> Tensor:
    """Uniform in +-1/sqrt(fan_in), the width of the layer before: the last axis unless given.

    torch.nn's RNNs take the hidden size for every tensor, and so do recell's modules for parameters without an `init`.
    """
    bound = 1 / math.sqrt(fan_in or (tensor.shape[-1] if tensor.dim() else 1))
    return nn.init.uniform_(tensor, -bound, bound)


def glorot_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in +-gain * sqrt(6 / (rows + columns)) (Glorot and Bengio 2010)."""
    return nn.init.xavier_uniform_(_matrix(tensor, "glorot_"), gain)


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A random matrix with orthonormal rows or columns, times gain (Saxe, McClelland and Ganguli 2014)."""
    return nn.init.orthogonal_(_matrix(tensor, "orthogonal_"), gain)


def identity_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """The identity times gain: the recurrent matrix of an IRNN (Le, Jaitly and Hinton 2015)."""
    with torch.no_grad():
        return nn.init.eye_(_matrix(tensor, "identity_")).mul_(gain)


def spectral_radius_(tensor: Tensor, radius: float = 0.9) -> Tensor:
    """A random normal square matrix whose largest eigenvalue has the modulus `radius` (echo states, Jaeger 2001)."""
    if isinstance(radius, bool) or not isinstance(radius, (int, float)) or not 0 <= radius < math.inf:  # pyright: ignore
        raise DataError(f"radius is a number, 0 or above; came {radius!r}; write spectral_radius_(tensor, 0.9)")
    if _matrix(tensor, "spectral_radius_").shape[0] != tensor.shape[1]:
        raise ShapeError(f"spectral_radius_ fills a square matrix; this one is {tuple(tensor.shape)}")
    with torch.no_grad():
        tensor.normal_()
        largest = torch.linalg.eigvals(tensor.double()).abs().max()
        return tensor.mul_((radius / largest).to(tensor.dtype))


def chrono_(forget: Tensor, longest: float, opposite: Tensor | None = None) -> Tensor:
    """A forget gate's bias for dependencies of up to `longest` steps: log(u), u uniform in [1, longest - 1].

    A unit then forgets within about u steps (Tallec and Ollivier 2018). `opposite`, the input gate's bias, gets the negative:
    `chrono_(module.b_f_l0, 784, module.b_i_l0)`. A gate that keeps the old state, as GRU's z, is a forget gate.
    """
    if isinstance(longest, bool) or not isinstance(longest, (int, float)) or longest <= 2:
        raise DataError(f"longest is a number of steps above 2; came {longest!r}; write chrono_(bias, 784)")
    with torch.no_grad():
        forget.uniform_(1, longest - 1).log_()
        if opposite is not None:
            opposite.copy_(-forget)
        return forget


NAMED: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform_fan_in": uniform_fan_in_, "glorot": glorot_, "orthogonal": orthogonal_, "identity": identity_,
    "spectral_radius": spectral_radius_,
}


def fill_(tensor: Tensor, init: Init, others: Mapping[str, Tensor] | None = None) -> Tensor:
    """Fill a tensor by a number, an initialiser's name, or a function shape -> array.

    A function that draws takes an argument named `generator` too: a numpy.random.Generator seeded from torch's own, so that
    it follows torch.manual_seed. One whose values follow from those of another parameter takes an argument of its name, an
    array; `others` has them. A tensor on the meta device has nothing to fill.
    """
    if tensor.is_meta:
        return tensor
    with torch.no_grad():
        if isinstance(init, str):
            return _named(init)(tensor)
        if isinstance(init, (int, float)):
            if not math.isfinite(init):
                raise DataError(f"a parameter cannot start as {init}; give a finite number")
            return tensor.fill_(init)
        if not callable(init):
            raise DataError(f"an initialiser is a number, a name or a function shape -> array, not {init!r}")
        if init in NAMED.values():
            return init(tensor)
        if getattr(init, "__module__", None) == nn.init.__name__:
            name = f"torch.nn.init.{getattr(init, '__name__', '')}"
            raise DataError(message("an initialiser is a function shape -> array", came=f"{name}, which fills a tensor",
                                    write=f"{name}(module.parameter(NAME)), or one of {', '.join(NAMED)}"))
        array = _as_tensor(init, _array_of(init, tuple(tensor.shape), others or {}))
        if array.shape != tensor.shape:
            raise ShapeError(f"the initialiser gave an array {tuple(array.shape)} for a parameter {tuple(tensor.shape)}")
        if not array.isfinite().all():
            raise DataError("a parameter starts with finite numbers, and the initialiser gave others")
        return tensor.copy_(array)


def _as_tensor(init: Callable[..., Any], given: Any) -> Tensor:
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        name = getattr(init, "__name__", repr(init))
        said = f"the initialiser {name} gave a {type(given).__name__}; return an array of the shape that it is given"
        raise DataError(said) from None


def _array_of(init: Callable[..., Any], shape: tuple[int, ...], others: Mapping[str, Tensor]) -> Any:
    given: dict[str, Any] = {}
    for name in _asked(init):
        if name == "generator":  # unasked, torch's generator stays where it is
            given[name] = np.random.default_rng(int(torch.randint(2**63 - 1, (), device="cpu")))
        elif name in others:
            other = others[name].detach().cpu()
            given[name] = (other.float() if other.dtype is torch.bfloat16 else other).numpy().copy()  # NumPy has no bfloat16
        else:
            known = ", ".join(["generator", *others])
            said = f"the initialiser {getattr(init, '__name__', repr(init))} asks for {name!r}"
            raise DataError(message(said, write=f"one of {known}, a parameter that the cell reads before this one"))
    return init(shape, **given)


def _asked(init: Callable[..., Any]) -> list[str]:
    """The arguments beside the shape that an initialiser cannot do without, and a `generator` that has no value yet."""
    try:
        arguments = list(inspect.signature(init).parameters.values())[1:]
    except ValueError:  # a built-in without a signature
        return []
    named = [a for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)]
    return [a.name for a in named if a.default is a.empty or (a.name == "generator" and a.default is None)]


def _named(name: str) -> Callable[[Tensor], Tensor]:
    if name.removesuffix("_") not in NAMED:
        raise DataError(f"there is no initialiser {name!r}; there are {', '.join(NAMED)}, numbers, and functions shape -> array")
    return NAMED[name.removesuffix("_")]


def _matrix(tensor: Tensor, name: str) -> Tensor:
    if not isinstance(tensor, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(f"{name} fills a torch.Tensor in place; came a {type(tensor).__name__}; write torch.from_numpy(array)")
    if tensor.dim() != 2:
        raise ShapeError(f"{name} fills a matrix; this parameter has the shape {tuple(tensor.shape)}")
    return tensor
