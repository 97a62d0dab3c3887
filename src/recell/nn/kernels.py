"""A layer's kernels, by dtype, device and kind of call, and the reference backend behind torch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recell.compiler.build import Call, Forward, Gradients, Kernel, Variant, build, build_named
from recell.compiler.segments import SegmentedKernel
from recell.errors import ShapeError
from recell.language.cell import Cell
from recell.nn.calls import Place, Streams, kernel_call
from recell.nn.tensors import KERNEL_DTYPES, exact, name_of


class Kernels:
    """What runs a cell of these sizes: one kernel for each dtype, device and kind of call, built when it is first asked for."""

    def __init__(self, cell: Cell, sizes: Mapping[str, int], backend: str, products: str, recompute: int | None) -> None:
        self.cell, self.sizes, self.backend, self.products, self.recompute = cell, sizes, backend, products, recompute
        self._kept: dict[Any, Kernel] = {}

    def backend_for(self, dtype: torch.dtype, device: torch.device) -> str:
        """The backend that runs tensors of this dtype and device; ShapeError where the chosen one cannot."""
        native = device.type == "cpu" and dtype in KERNEL_DTYPES
        if self.backend == "auto":
            return "cpu" if native else "eager"
        if self.backend != "eager" and not native:
            raise ShapeError(f"backend {self.backend!r} runs float32 and float64 tensors on the CPU, not "
                            f"{name_of(dtype)} on {device}; write backend=\"auto\" or backend=\"eager\"")
        return self.backend

    def kernel(self, x: Tensor, streams: Streams, input_gradient: bool = True) -> Kernel:
        """The kernel for these tensors."""
        variant = _variant(streams, input_gradient)
        key = (x.dtype, x.device.type, variant)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._build(self.backend_for(x.dtype, x.device), x.dtype, Variant(*variant))
        return found

    def _build(self, backend: str, dtype: torch.dtype, variant: Variant) -> Kernel:
        name = "bfloat16" if backend == "cpu" and dtype == torch.float32 and self.products == "bfloat16" else name_of(dtype)
        kernel = _for_torch(build(self.cell, self.sizes, backend=backend, dtype=name, variant=variant), backend)
        return SegmentedKernel(kernel, self.recompute) if self.recompute and backend != "eager" else kernel

    def eager(self, dtype: torch.dtype, streams: Streams) -> Kernel:
        """The same equations as torch's operators."""
        variant = _variant(streams)
        key = (dtype, "decomposition", variant)
        if key not in self._kept:
            self._kept[key] = self._build("eager", dtype, Variant(*variant))
        return self._kept[key]

    def named(self, dtype: torch.dtype, streams: Streams) -> Kernel:
        """The kernel that can tell the values of the author's locals."""
        variant, backend = _variant(streams), "reference" if self.backend == "reference" else "eager"
        key = (dtype, "trace", variant)
        if key not in self._kept:
            named = build_named(self.cell, self.sizes, backend=backend, dtype=name_of(dtype), variant=Variant(*variant))
            self._kept[key] = _for_torch(named, backend)
        return self._kept[key]

    def decompose(self, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], streams: Streams,
                  place: Place) -> tuple[Tensor, Sequence[Tensor]]:
        """One run in torch operators, which every transform of torch understands: y and the new states."""
        call = kernel_call(x, states, parameters, streams, place)
        with exact(x):
            result = self.eager(x.dtype, streams).forward(call, save=False)
        return result.y, result.states


def _variant(streams: Streams, input_gradient: bool = True) -> tuple[bool, bool, bool, bool]:
    """The fields of `Variant`; a tuple, which is a cheaper key."""
    return streams.seed is not None, streams.mask is not None, streams.reset is not None, input_gradient


def _for_torch(kernel: Kernel, backend: str) -> Kernel:
    return _NumPyKernel(kernel) if backend == "reference" else kernel


class _NumPyKernel:
    """The reference backend behind torch tensors: it computes in NumPy's float64."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def forward(self, call: Call, *, save: bool) -> Forward:
        result = self._kernel.forward(_as_numpy(call), save=save)
        return Forward(_as_torch(result.y, call.x), tuple(_as_torch(s, call.x) for s in result.states),
                       (result.saved, call.x))

    def backward(self, saved: Any, dy: Tensor, dstates: Sequence[Tensor]) -> Gradients:
        saved, like = saved
        found = self._kernel.backward(saved, dy.numpy(), tuple(d.numpy() for d in dstates))
        return Gradients(None if found.x is None else _as_torch(found.x, like),
                         tuple(_as_torch(g, like) for g in found.states),
                         tuple(None if g is None else _as_torch(g, like) for g in found.parameters))

    def trace(self, call: Call) -> dict[str, Tensor]:
        return {name: _as_torch(value, call.x) for name, value in self._kernel.trace(_as_numpy(call)).items()}


def _as_torch(array: Any, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.dtype)


def _as_numpy(call: Call) -> Call:
    def array(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.detach().numpy()

    coins = call.coins and replace(call.coins, rows=array(call.coins.rows))
    return Call(x=array(call.x), states=tuple(array(s) for s in call.states),
                parameters=tuple(array(p) for p in call.parameters), reverse=call.reverse, active=call.active,
                mask=array(call.mask), reset=array(call.reset), elapsed=array(call.elapsed), coins=coins)
