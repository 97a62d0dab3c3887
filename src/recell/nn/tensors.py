"""What a kernel asks of a tensor: a dtype that it has, memory that lies in order, and nobody who casts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.overrides import has_torch_function_variadic

from recell.compiler.backends.cpu import arrays

T = TypeVar("T", Tensor, Tensor | None)
KERNEL_DTYPES = (torch.float32, torch.float64)


def name_of(dtype: torch.dtype) -> str:
    """`torch.float32` -> "float32"."""
    return str(dtype).removeprefix("torch.")


def is_watched(*tensors: Tensor) -> bool:
    """Whether tensors do more than lie in memory: fakes have no values, and a mode such as make_fx's sees every operation.

    Then a kernel is an operator of torch's. Inside a functorch transform it is torch's own operators, whoever watches.
    """
    for tensor in tensors:
        kind = type(tensor)
        if kind is not Tensor and kind is not Parameter and kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
            return True
    return torch._C._len_torch_dispatch_stack() > 0 and not torch._C._are_functorch_transforms_active()


def no_kernel_for(*tensors: Tensor) -> bool:
    """Whether something is asked for that torch's operators alone can do: another device, forward mode, transforms, tracing."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch._C._are_functorch_transforms_active():
        return True
    if has_torch_function_variadic(*tensors) or is_watched(*tensors) or any(t.device.type != "cpu" for t in tensors):
        return True
    return forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def no_dtype_of_a_kernel(*tensors: Tensor) -> bool:
    """Whether a tensor is of another dtype than kernels compute in, or than autocast makes such a one of."""
    halves = (torch.bfloat16, torch.float16) if torch.is_autocast_enabled("cpu") else ()
    return any(t.dtype not in (*KERNEL_DTYPES, *halves) for t in tensors)


def exact(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Autocast switched off for operators on x's device; the meta device, where nothing is computed, has none."""
    return contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def plain(tensor: Tensor) -> Tensor:
    """Contiguous memory that says what the tensor is: torch may leave a sign to be read into it (`torch.imag`)."""
    tensor = tensor.contiguous()
    return tensor.resolve_neg() if tensor.is_neg() else tensor


def add_to(sum: Tensor, more: Tensor) -> None:
    """sum += more, both in order and of one shape; without torch's threads where these cost more than the work."""
    if sum.nbytes >= arrays.LARGE:
        sum += more
    else:
        values = arrays.as_numpy(sum)
        np.add(values, arrays.as_numpy(more), out=values)


def apart(gradients: Sequence[T]) -> list[T]:
    """Gradients in memory of their own: two that are equal by the equations come as one tensor, and may be written to."""
    seen: set[int] = set()
    result: list[T] = []
    for gradient in gradients:
        known = gradient is not None and id(gradient) in seen
        result.append(gradient.clone() if known else gradient)  # pyright: ignore[reportArgumentType, reportOptionalMemberAccess]
        seen.add(id(gradient))
    return result
