"""`accelerate`: swap the torch.nn RNNs inside an existing model for their drop-ins."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from recell.errors import DataError
from recell.nn.convert import DROP_INS, arguments_of
from recell.nn.tensors import KERNEL_DTYPES

Model = TypeVar("Model", bound=nn.Module)
_TORCH_ONLY = ("_flat_weights", "_flat_weights_names", "_flat_weight_refs", "_all_weights")


def accelerate(model: Model) -> Model:
    """The model with every torch.nn.LSTM, GRU, RNN, LSTMCell, GRUCell and RNNCell swapped for its drop-in.

    The swap keeps the very same Parameter objects (an optimizer made before goes on), all hooks, the training flag and
    whatever attributes were set on the module. Only exact types are swapped: a subclass, or a parametrized module, may
    compute anything and is left alone; so is a module whose weights are not float32 or float64 on the CPU, which the
    kernels do not run. The model is changed in place and returned; a model that is itself such a module is replaced.
    """
    if not isinstance(model, nn.Module):
        raise DataError(f"accelerate takes a torch module; came {type(model).__name__}; write recell.accelerate(model)")
    swapped: dict[int, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and _can_swap(child):
                parent._modules[name] = swapped.setdefault(id(child), _swap(child))
    return _swap(model) if _can_swap(model) else model  # type: ignore[return-value]


def _can_swap(module: nn.Module) -> bool:
    if type(module) not in DROP_INS:
        return False
    return all(p.device.type == "cpu" and p.dtype in KERNEL_DTYPES for p in module.parameters())


def _swap(module: nn.Module) -> nn.Module:
    # On the meta device nothing is drawn: the caller's random stream stays where it was.
    made = DROP_INS[type(module)](**arguments_of(module), device="meta")
    shared = nn.Module().__dict__.keys()  # parameters, buffers and hooks; the dicts themselves, for the hooks' handles
    for name, value in module.__dict__.items():
        if name in shared or (name not in made.__dict__ and name not in _TORCH_ONLY):
            made.__dict__[name] = value
    return made
