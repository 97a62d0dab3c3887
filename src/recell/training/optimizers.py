"""The optimizers by name, and their state as tensors and numbers that go into a checkpoint without pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from recell.errors import RecellError, unknown

Parameters = Iterable[torch.nn.Parameter]


def _adamw(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Loshchilov & Hutter, "Decoupled weight decay regularization", 2019."""
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _sgd(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent, without momentum (Robbins & Monro 1951)."""
    return torch.optim.SGD(groups, lr=learning_rate, fused=True)


def _momentum(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Gradient descent with Nesterov's momentum of 0.9 (Sutskever et al. 2013)."""
    return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True, fused=True)


def _rmsprop(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Tieleman & Hinton, lecture 6.5, 2012."""
    return torch.optim.RMSprop(groups, lr=learning_rate)


def _adagrad(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Duchi, Hazan & Singer, "Adaptive subgradient methods", 2011."""
    return torch.optim.Adagrad(groups, lr=learning_rate)


_BUILDERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "momentum": _momentum,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}


def optimizer_names() -> tuple[str, ...]:
    """The names that ``build`` takes."""
    return tuple(_BUILDERS)


def build(name: str, parameters: Parameters, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimizer of this name. Matrices decay, vectors (biases, gains) do not."""
    if name not in _BUILDERS:
        raise RecellError(unknown("optimizer", name, _BUILDERS))
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return _BUILDERS[name]([group for group in groups if group["params"]], learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = value


def state_of(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as tensors, named ``<parameter number>.<entry>``, and as numbers of the same names."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for entry, value in entries.items():
            kept = tensors if isinstance(value, Tensor) else numbers
            kept[f"{index}.{entry}"] = value
    return tensors, numbers


def load_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Put back what ``state_of`` gave, bit for bit."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **numbers}.items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def clip(module: torch.nn.Module, most: float) -> None:
    """Scale all gradients so that their norm together is at most `most` (Pascanu et al. 2013); a pass over them is saved where
    it is so already."""
    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if not norm <= most:  # also where it is NaN, so that the optimizer sees what torch's own clipping shows it
        clip_grads_with_norm_(parameters, most, norm)
