"""The one bridge between kernels and torch.

A `Runner` is a cell with its sizes that takes torch tensors and gives torch tensors back. It picks, in this order,

1. the operator `recell::forward` while torch compiles or exports, on the meta device, and for tensors that are watched: fake
   ones, and all where make_fx or another dispatch mode looks on (see `operators.py`);
2. the eager decomposition, which is torch's to differentiate, where the backend is "eager" and inside a functorch
   transform (`vmap`, `torch.func.grad`), which knows nothing of kernels;
3. the kernel alone where no gradient is asked for;
4. the kernel inside one `autograd.Function` (`derivatives.py`), whose backward is the kernel's own back-propagation
   through time, or, when the gradient itself is to be differentiated or many are asked for at once, the eager decomposition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recell.compiler.build import backends
from recell.errors import DataError, RecellError
from recell.language.cell import Cell
from recell.nn.calls import Joined, Place, Streams, Way, kernel_call
from recell.nn.derivatives import Sequences, forward_ways, shares
from recell.nn.kernels import Kernels
from recell.nn.packing import AsWritten, Packing
from recell.nn.tensors import exact, is_watched

Outputs = tuple[Sequence[Tensor], Sequence[Sequence[Tensor]]]  # the ys, and each way's new states


class Runner:
    """One layer's cell with its sizes, run on tensors in one direction.

    `runner(x, states, stored, streams, place)` takes x (T, N, input), one (N, size) tensor per state and the module's
    stored parameters; it returns y (T, N, output) and the new states. Differentiable in all of them.
    """

    def __init__(self, cell: Cell, sizes: Mapping[str, int], backend: str = "auto", packing: Packing | None = None,
                 products: str = "float32", recompute: int | None = None) -> None:
        if backend != "auto" and backend not in backends():
            raise DataError(f"there is no backend {backend!r}; there are: auto, {', '.join(backends())}")
        self.cell, self.sizes, self.backend, self.products, self.recompute = cell, dict(sizes), backend, products, recompute
        self.packing: Packing = packing or AsWritten()
        self.state_sizes = cell.state_sizes(self.sizes)
        self.output_size = cell.output_size(self.sizes)
        # The whole graph, not a number: any process can run an exported program that carries it.
        self.plan = json.dumps({"cell": cell.to_json(), "sizes": self.sizes, "backend": backend, "products": products,
                                "recompute": recompute}, sort_keys=True)
        self.kernels = Kernels(cell, self.sizes, backend, products, recompute)
        # The same layer with products in bf16; tensors stay float32. Made now: torch.compile could not make it later.
        self.halved = Runner(cell, sizes, backend, packing, "bfloat16", recompute) if products == "float32" else self

    def __reduce__(self) -> tuple[Any, ...]:
        return Runner, (self.cell, self.sizes, self.backend, self.packing, self.products, self.recompute)

    def _autocast_halves(self, x: Tensor) -> bool:
        """Whether autocast asks for bf16 where a kernel can give it."""
        if self.products != "float32" or not torch.is_autocast_enabled("cpu"):
            return False
        native = x.dtype == torch.float32 and self.kernels.backend_for(x.dtype, x.device) == "cpu"
        return native and torch.get_autocast_dtype("cpu") == torch.bfloat16

    def __call__(self, x: Tensor, states: Sequence[Tensor], stored: Sequence[Tensor], streams: Streams,
                 place: Place) -> tuple[Tensor, Sequence[Tensor]]:
        (y,), (final,) = self.all(x, [Way(states, stored, place)], streams)
        return y, final

    def all(self, x: Tensor, ways: Sequence[Way], streams: Streams, joined: Joined = Joined.APART) -> Outputs:
        """Each way's y over one x, or where they are `joined` one y (T, N, ways * output), and each way's new states; a kernel
        runs them side by side where that is faster."""
        if len(ways) == 1:
            joined = Joined.APART
        if self._autocast_halves(x):
            return self.halved.all(x, ways, streams, joined)
        if torch.compiler.is_compiling() or x.is_meta:
            return _outputs([self._operator(x, way, streams) for way in ways], joined)
        transformed = torch._C._are_functorch_transforms_active()
        if transformed or self.kernels.backend_for(x.dtype, x.device) == "eager":
            self._refuse_recompute(transformed)
            for way in ways:
                self._refuse_forward_mode((x, *way.states, *way.stored))
            run = self.kernels.decompose
            return _outputs([run(x, w.states, self.packing.unpack(w.stored), streams, w.place) for w in ways], joined)
        if is_watched(x, ways[0].stored[0]):
            return _outputs([self._operator(x, way, streams) for way in ways], joined)
        tensors = [t for way in ways for t in (*way.states, *way.stored)]
        if forward_ad._current_level >= 0:
            self._refuse_forward_mode((x, *tensors))
        if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            raise RecellError(f"torch.jit.trace records torch's operators, and {self.cell.name} runs in a kernel; "
                              "write torch.export.export(module, (x,)), or make the module with backend=\"eager\"")
        if torch.is_grad_enabled() and (x.requires_grad or any(t.requires_grad for t in tensors)):
            outputs = Sequences.apply(self.kernels, self.packing, streams, tuple(way.place for way in ways), joined, x, *tensors)
            count = 1 if joined else len(ways)
            return outputs[:count], shares(outputs[count:], len(ways))
        calls = [kernel_call(x, w.states, self.packing.unpack(w.stored), streams, w.place) for w in ways]
        ys, found = forward_ways(self.kernels.kernel(x, streams), calls, joined=joined, save=False)
        return ys, [one.states for one in found]

    def _operator(self, x: Tensor, way: Way, streams: Streams) -> tuple[Tensor, Sequence[Tensor]]:
        outputs = torch.ops.recell.forward(self.plan, x, list(way.states), list(self.packing.unpack(way.stored)),
                                           *streams.tensors(), *way.place, False, True)
        return outputs[0], outputs[1:-1]

    def _refuse_recompute(self, transformed: bool) -> None:
        if self.recompute and not transformed and torch.is_grad_enabled():
            raise RecellError(f"recompute={self.recompute} is a kernel's, and these tensors run on torch's operators; "
                              "write recompute=None, or use torch.utils.checkpoint")

    def trace(self, x: Tensor, states: Sequence[Tensor], stored: Sequence[Tensor], streams: Streams,
              place: Place) -> dict[str, Tensor]:
        """Every named local and every state's new value, (T, N, size) each."""
        call = kernel_call(x, states, self.packing.unpack(stored), streams, place)
        with exact(x):
            return self.kernels.named(x.dtype, streams).trace(call)

    def _refuse_forward_mode(self, tensors: Sequence[Tensor]) -> None:
        """A kernel has no derivative in forward mode, and dropping a tangent would be a silent zero."""
        if self.kernels.backend_for(tensors[0].dtype, tensors[0].device) == "eager":
            return
        stack = torch._C._functorch.get_interpreter_stack() or ()
        transformed = any(level.key() == torch._C._functorch.TransformType.Jvp for level in stack)
        if transformed or any(forward_ad.unpack_dual(t).tangent is not None for t in tensors):
            raise RecellError(f"forward-mode differentiation of {self.cell.name} has no kernel: "
                            "write backend=\"eager\", or use reverse mode")


def _outputs(found: Sequence[tuple[Tensor, Sequence[Tensor]]], joined: Joined) -> Outputs:
    """y and the new states of every way, in torch's own operators."""
    ys = [y for y, _ in found]
    return [torch.cat(ys, -1)] if joined else ys, [states for _, states in found]


@lru_cache(maxsize=256)
def runner_of(plan: str) -> Runner:
    """The runner that a plan's text describes: how an operator finds its kernel in any process."""
    described = json.loads(plan)
    cell = Cell.from_json(described["cell"])
    return Runner(cell, described["sizes"], described["backend"], None, described["products"], described["recompute"])
