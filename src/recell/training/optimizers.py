"""The optimizers by name, and their state as tensors and numbers that go into a checkpoint without pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from recell.compiler.backends.cpu.adamw import Moved, adamw
from recell.errors import RecellError, unknown
from recell.nn.tensors import plain

Parameters = Iterable[torch.nn.Parameter]


class AdamW(torch.optim.AdamW):
    """torch's, fused; `moved` is what one native call takes to clip and step where all of it lies on the CPU."""

    def moved(self) -> list[Moved] | None:
        """Every tensor that has a gradient, with its state; None where a kernel cannot read one of them."""
        found = [self._moved(p, p.grad, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        dtypes = {None if one is None else one.value.dtype for one in found}
        return found if dtypes <= {torch.float32} or dtypes <= {torch.float64} else None  # type: ignore[return-value]

    def _moved(self, value: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> Moved | None:
        if value.device.type != "cpu" or gradient.layout != torch.strided or gradient.dtype != value.dtype:
            return None
        state = self.state[value]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(value), torch.zeros_like(value)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        if not (value.is_contiguous() and mean.is_contiguous() and square.is_contiguous()):
            return None
        step = state["step"]
        return Moved(value, plain(gradient), mean, square, step, value.numel(), group["lr"], group["weight_decay"])


def step(optimizer: torch.optim.Optimizer, clip: float | None) -> None:
    """Scale all gradients together down to the norm `clip` (Pascanu et al. 2013), and move; the gradients may stay unscaled."""
    moved = optimizer.moved() if isinstance(optimizer, AdamW) else None
    if moved is not None:
        (beta1, beta2), epsilon = optimizer.defaults["betas"], optimizer.defaults["eps"]
        with torch.no_grad():
            adamw(moved, beta1=beta1, beta2=beta2, epsilon=epsilon, clip=clip or 0.0)
            torch.autograd.graph.increment_version([one.value for one in moved])
        return
    if clip is not None:
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    optimizer.step()


def _adamw(groups: Any, learning_rate: float) -> torch.optim.Optimizer:
    """Loshchilov & Hutter, "Decoupled weight decay regularization", 2019."""
    return AdamW(groups, lr=learning_rate, fused=True)


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
