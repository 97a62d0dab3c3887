"""The one bridge between kernels and torch.

A `Runner` is a cell with its sizes that takes torch tensors and gives torch tensors back. It picks, in this order,

1. the operator `recell::forward` while torch compiles or exports, and on the meta device (see `operators.py`);
2. the eager decomposition, which is torch's to differentiate, where the backend is "eager" and inside a functorch
   transform (`vmap`, `torch.func.grad`), which knows nothing of kernels;
3. the kernel alone where no gradient is asked for;
4. the kernel inside one `autograd.Function`, whose backward is the kernel's own back-propagation through time, or, when
   the gradient itself is to be differentiated, the eager decomposition.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from recell.compiler.build import (
    Call,
    Coins,
    Forward,
    Gradients,
    Kernel,
    Variant,
    backends,
    backward_all,
    build,
    build_named,
    forward_all,
)
from recell.compiler.segments import SegmentedKernel
from recell.errors import DataError, RecellError, ShapeError
from recell.language.cell import Cell

T = TypeVar("T", Tensor, Tensor | None)
KERNEL_DTYPES = (torch.float32, torch.float64)


class Streams(NamedTuple):
    """What one call brings beside x, the states and the parameters. Nothing in it is differentiated."""

    lengths: Tensor | None = None  # (N,) int64, non-increasing
    active: list[int] | None = None  # (T,) rows still running at t; None where torch is compiling
    mask: Tensor | None = None  # (T, N) in x's dtype, as are the next two
    reset: Tensor | None = None
    elapsed: Tensor | None = None
    seed: Tensor | None = None  # () int64; there only when a cell with coins is trained
    rows: Tensor | None = None  # (N,) int64, the row numbers before sorting

    def tensors(self) -> tuple[Tensor | None, ...]:
        """Everything that an operator is given; it counts the active rows itself."""
        return self.lengths, self.mask, self.reset, self.elapsed, self.seed, self.rows


class Place(NamedTuple):
    """Where in the stack a runner works: its coins depend on it."""

    layer: int = 0
    direction: int = 0
    reverse: bool = False


class Way(NamedTuple):
    """One way through a sequence: its initial states (N, size), the stored parameters that it reads, and where it is."""

    states: Sequence[Tensor]
    stored: Sequence[Tensor]
    place: Place


class Packing(Protocol):
    """How the tensors that a module stores hold the cell's parameters."""

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The cell's parameters, in the cell's order; differentiable."""
        ...

    def collect(self, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The gradients of the stored tensors from those of the cell's parameters."""
        ...

    def parts(self, stored: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """For each of the cell's parameters the tensors to write to: their sum is the parameter. Nothing where none is stored."""
        ...


class AsWritten:
    """One stored tensor for each of the cell's parameters."""

    def unpack(self, stored: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The stored tensors themselves."""
        return tuple(stored)

    def collect(self, gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        """The gradients themselves."""
        return tuple(gradients)

    def parts(self, stored: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], ...]:
        """The stored tensors themselves."""
        return tuple((tensor,) for tensor in stored)


def exact(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Autocast switched off for operators on x's device; the meta device, where nothing is computed, has none."""
    return contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def active_rows(lengths: Tensor, steps: int) -> list[int]:
    """How many rows are still running at each step, for lengths (N,) in any order; ShapeError beyond 0..steps."""
    if lengths.is_meta:
        raise ShapeError("lengths on the meta device have no values, and here they are needed; write device=\"cpu\"")
    for row, value in enumerate(lengths.tolist()):
        if not 0 <= value <= steps:
            raise ShapeError(f"lengths[{row}] is {value}, and x has {steps} time steps; "
                             f"give lengths from 0 to {steps}")
    ended = torch.bincount(lengths, minlength=steps + 1).cumsum(0)  # [v]: rows of length <= v
    return (lengths.shape[0] - ended[:steps]).tolist()


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
        self._kernels: dict[Any, Kernel] = {}
        # The same layer with products in bf16; tensors stay float32. Made now: torch.compile could not make it later.
        self.halved = Runner(cell, sizes, backend, packing, "bfloat16", recompute) if products == "float32" else self

    def __reduce__(self) -> tuple[Any, ...]:
        return Runner, (self.cell, self.sizes, self.backend, self.packing, self.products, self.recompute)

    def _autocast_halves(self, x: Tensor) -> bool:
        """Whether autocast asks for bf16 where a kernel can give it."""
        if self.products != "float32" or not torch.is_autocast_enabled("cpu"):
            return False
        native = x.dtype == torch.float32 and self.backend_for(x.dtype, x.device) == "cpu"
        return native and torch.get_autocast_dtype("cpu") == torch.bfloat16

    def __call__(self, x: Tensor, states: Sequence[Tensor], stored: Sequence[Tensor], streams: Streams,
                 place: Place) -> tuple[Tensor, Sequence[Tensor]]:
        return self.all(x, [Way(states, stored, place)], streams)[0]

    def all(self, x: Tensor, ways: Sequence[Way], streams: Streams) -> list[tuple[Tensor, Sequence[Tensor]]]:
        """y and the new states of every way over one x; a kernel runs them side by side where that is faster."""
        if self._autocast_halves(x):
            return self.halved.all(x, ways, streams)
        if torch.compiler.is_compiling() or x.is_meta:
            return [self._operator(x, way, streams) for way in ways]
        transformed = torch._C._are_functorch_transforms_active()
        if transformed or self.backend_for(x.dtype, x.device) == "eager":
            self._refuse_recompute(transformed)
            for way in ways:
                self._refuse_forward_mode((x, *way.states, *way.stored))
            return [self.decompose(x, w.states, self.packing.unpack(w.stored), streams, w.place) for w in ways]
        tensors = [t for way in ways for t in (*way.states, *way.stored)]
        if forward_ad._current_level >= 0:
            self._refuse_forward_mode((x, *tensors))
        if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            raise RecellError(f"torch.jit.trace records torch's operators, and {self.cell.name} runs in a kernel; "
                              "write torch.export.export(module, (x,)), or make the module with backend=\"eager\"")
        if torch.is_grad_enabled() and (x.requires_grad or any(t.requires_grad for t in tensors)):
            outputs = _Sequence.apply(self, streams, tuple(way.place for way in ways), x, *tensors)
            return [(y, states) for y, *states in _shares(outputs, len(ways))]
        calls = [self.call(x, w.states, self.packing.unpack(w.stored), streams, w.place) for w in ways]
        return [(found.y, found.states) for found in forward_all(self.kernel(x, streams), calls, save=False)]

    def _operator(self, x: Tensor, way: Way, streams: Streams) -> tuple[Tensor, Sequence[Tensor]]:
        outputs = torch.ops.recell.forward(self.plan, x, list(way.states), list(self.packing.unpack(way.stored)),
                                           *streams.tensors(), *way.place, False, True)
        return outputs[0], outputs[1:-1]

    def _refuse_recompute(self, transformed: bool) -> None:
        if self.recompute and not transformed and torch.is_grad_enabled():
            raise RecellError(f"recompute={self.recompute} is a kernel's, and these tensors run on torch's operators; "
                              "write recompute=None, or use torch.utils.checkpoint")

    def kernel(self, x: Tensor, streams: Streams, input_gradient: bool = True) -> Kernel:
        """The kernel for these tensors, built at the first call of its kind."""
        variant = (streams.seed is not None, streams.mask is not None, streams.reset is not None, input_gradient)
        key = (x.dtype, x.device.type, variant)
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = self._build(self.backend_for(x.dtype, x.device), x.dtype, Variant(*variant))
        return found

    def backend_for(self, dtype: torch.dtype, device: torch.device) -> str:
        """The backend that runs tensors of this dtype and device; ShapeError where the chosen one cannot."""
        native = device.type == "cpu" and dtype in KERNEL_DTYPES
        if self.backend == "auto":
            return "cpu" if native else "eager"
        if self.backend != "eager" and not native:
            raise ShapeError(f"backend {self.backend!r} runs float32 and float64 tensors on the CPU, not "
                            f"{name_of(dtype)} on {device}; write backend=\"auto\" or backend=\"eager\"")
        return self.backend

    def _build(self, backend: str, dtype: torch.dtype, variant: Variant) -> Kernel:
        name = "bfloat16" if backend == "cpu" and dtype == torch.float32 and self.products == "bfloat16" else name_of(dtype)
        kernel = _for_torch(build(self.cell, self.sizes, backend=backend, dtype=name, variant=variant), backend)
        return SegmentedKernel(kernel, self.recompute) if self.recompute and backend != "eager" else kernel

    def call(self, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], streams: Streams,
             place: Place) -> Call:
        """The kernel's view of a call: contiguous tensors, rows counted step by step."""
        active, coins = streams.active, None
        if active is None and streams.lengths is not None:
            active = active_rows(streams.lengths, x.shape[0])
        if streams.seed is not None:
            coins = Coins(int(streams.seed), place.layer, place.direction, streams.rows)
        reset = streams.reset
        if place.reverse and reset is not None:
            # A cut between t-1 and t: going back, it is t-1 that is entered afresh, and a kernel resets what enters t.
            reset = torch.cat((reset[1:], torch.zeros_like(reset[:1])))
        return Call(x=plain(x), states=tuple(plain(s) for s in states),
                    parameters=tuple(plain(p) for p in parameters), reverse=place.reverse, active=active,
                    mask=streams.mask, reset=reset, elapsed=streams.elapsed, coins=coins)

    def decompose(self, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], streams: Streams,
                  place: Place) -> tuple[Tensor, Sequence[Tensor]]:
        """The same equations in torch operators, which every transform of torch understands."""
        call = self.call(x, states, parameters, streams, place)
        with exact(x):
            result = self._eager(x.dtype, streams).forward(call, save=False)
        return result.y, result.states

    def trace(self, x: Tensor, states: Sequence[Tensor], stored: Sequence[Tensor], streams: Streams,
              place: Place) -> dict[str, Tensor]:
        """Every named local and every state's new value, (T, N, size) each."""
        call = self.call(x, states, self.packing.unpack(stored), streams, place)
        backend = "reference" if self.backend == "reference" else "eager"
        key = (x.dtype, "trace", _variant(streams))
        if key not in self._kernels:
            named = build_named(self.cell, self.sizes, backend=backend, dtype=name_of(x.dtype), variant=_variant(streams))
            self._kernels[key] = _for_torch(named, backend)
        with exact(x):
            return self._kernels[key].trace(call)

    def _eager(self, dtype: torch.dtype, streams: Streams) -> Kernel:
        key = (dtype, "decomposition", _variant(streams))
        if key not in self._kernels:
            self._kernels[key] = self._build("eager", dtype, _variant(streams))
        return self._kernels[key]

    def _refuse_forward_mode(self, tensors: Sequence[Tensor]) -> None:
        """A kernel has no derivative in forward mode, and dropping a tangent would be a silent zero."""
        if self.backend_for(tensors[0].dtype, tensors[0].device) == "eager":
            return
        stack = torch._C._functorch.get_interpreter_stack() or ()
        transformed = any(level.key() == torch._C._functorch.TransformType.Jvp for level in stack)
        if transformed or any(forward_ad.unpack_dual(t).tangent is not None for t in tensors):
            raise RecellError(f"forward-mode differentiation of {self.cell.name} has no kernel: "
                            "write backend=\"eager\", or use reverse mode")


def plain(tensor: Tensor) -> Tensor:
    """Contiguous memory that says what the tensor is: torch may leave a sign to be read into it (`torch.imag`)."""
    tensor = tensor.contiguous()
    return tensor.resolve_neg() if tensor.is_neg() else tensor


def apart(gradients: Sequence[T]) -> list[T]:
    """Gradients in memory of their own: two that are equal by the equations come as one tensor, and may be written to."""
    seen: set[int] = set()
    result: list[T] = []
    for gradient in gradients:
        known = gradient is not None and id(gradient) in seen
        result.append(gradient.clone() if known else gradient)  # pyright: ignore[reportArgumentType, reportOptionalMemberAccess]
        seen.add(id(gradient))
    return result


def _variant(streams: Streams, input_gradient: bool = True) -> Variant:
    return Variant(streams.seed is not None, streams.mask is not None, streams.reset is not None, input_gradient)


def _for_torch(kernel: Kernel, backend: str) -> Kernel:
    return _NumPyKernel(kernel) if backend == "reference" else kernel


def name_of(dtype: torch.dtype) -> str:
    """`torch.float32` -> "float32"."""
    return str(dtype).removeprefix("torch.")


class _Box(np.ndarray[Any, Any]):
    """One number in memory that a tensor can own, with a kernel's stash hanging on it."""

    saved: Any


_boxes: WeakValueDictionary[int, _Box] = WeakValueDictionary()
_numbers = itertools.count(1)


def hold(saved: object) -> Tensor:
    """A tensor that keeps a kernel's stash alive for as long as its own memory lives.

    Saved as a tensor, the stash obeys whatever torch does with saved tensors: activation checkpointing drops it, and a
    compiled graph frees it after its last use.
    """
    number = next(_numbers)
    box = np.array([number]).view(_Box)
    box.saved = saved
    _boxes[number] = box
    return torch.from_numpy(box)


def held(handle: Tensor) -> Any | None:
    """The stash behind a handle, or None where the handle was copied and the original is gone."""
    box = _boxes.get(int(handle))
    return None if box is None else box.saved


class _Sequence(torch.autograd.Function):
    """A kernel's forward and backward passes, of one way through x or of several, as one node of torch's graph.

    `tensors` are, way by way, the initial states and the stored parameters; the outputs, way by way, y and the new states.
    """

    @staticmethod
    def forward(ctx: Any, runner: Runner, streams: Streams, places: tuple[Place, ...], x: Tensor, *tensors: Tensor) -> Any:
        ctx.runner, ctx.streams, ctx.places = runner, streams, places
        ctx.kernel = runner.kernel(x, streams, ctx.needs_input_grad[3])
        found = _run_kernel(ctx, x, tensors)
        # Aliases: the stash may hold the tensors themselves, and an output that its own node holds is never freed.
        outputs = tuple([t.detach() for one in found for t in (one.y, *one.states)])
        ctx.save_for_backward(x, *tensors, *outputs, hold([one.saved for one in found]))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        runner: Runner = ctx.runner
        x, *tensors, handle = ctx.saved_tensors
        tensors = tensors[: -len(gradients)]  # the outputs were kept to catch writes in place
        if torch.is_grad_enabled():
            return None, None, None, *_differentiable_gradients(ctx, gradients, x, tensors)
        saved = held(handle)
        if saved is None:
            saved = [one.saved for one in _run_kernel(ctx, x, tensors)]
        shares = [[plain(d) for d in share] for share in _shares(gradients, len(saved))]
        found = backward_all(ctx.kernel, saved, [(dy, tuple(dstates)) for dy, *dstates in shares])
        own = [t for one in found for t in (*one.states, *apart(runner.packing.collect(one.parameters)))]
        return None, None, None, _total([one.x for one in found]), *own


def _shares(tensors: Sequence[T], count: int) -> list[Sequence[T]]:
    """What belongs to each of `count` ways, of tensors in their order."""
    length = len(tensors) // count
    return [tensors[i * length : (i + 1) * length] for i in range(count)]


def _total(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The gradient of an x that several ways read; the kernel's own memory, so that it may be added to."""
    first, *others = parts
    for other in others:
        if first is not None and other is not None:
            first += other
    return first


def _run_kernel(ctx: Any, x: Tensor, tensors: Sequence[Tensor]) -> list[Forward]:
    runner: Runner = ctx.runner
    count = len(runner.state_sizes)
    calls = [runner.call(x, share[:count], runner.packing.unpack(share[count:]), ctx.streams, place)
             for share, place in zip(_shares(tensors, len(ctx.places)), ctx.places, strict=True)]
    return forward_all(ctx.kernel, calls, save=True)


def _differentiable_gradients(ctx: Any, gradients: Sequence[Tensor], x: Tensor,
                              tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients as a graph of torch operators, for a second derivative."""
    runner: Runner = ctx.runner
    count, inputs = len(runner.state_sizes), (x, *tensors)

    def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs: list[Tensor] = []
        for share, place in zip(_shares(inputs[1:], len(ctx.places)), ctx.places, strict=True):
            y, states = runner.decompose(inputs[0], share[:count], runner.packing.unpack(share[count:]), ctx.streams, place)
            outputs += y, *states
        return outputs

    return gradients_of(run, inputs, ctx.needs_input_grad[3:], gradients, create_graph=True)


def gradients_of(run: Any, inputs: Sequence[Tensor], needed: Sequence[bool], gradients: Sequence[Tensor],
                 create_graph: bool) -> list[Tensor | None]:
    """Vector-Jacobian products of `run` at `inputs` by torch's own autograd; None where not needed or not reached."""
    with torch.enable_grad():
        # Aliases: the derivative by x must not run through a state that was itself computed from x.
        aliases = [t.view_as(t) if need else t for t, need in zip(inputs, needed, strict=True)]
        pairs = [(y, dy) for y, dy in zip(run(aliases), gradients, strict=True) if y.requires_grad]
        asked = [alias for alias, need in zip(aliases, needed, strict=True) if need]
        found = iter(torch.autograd.grad([y for y, _ in pairs], asked, [dy for _, dy in pairs],
                                         create_graph=create_graph, allow_unused=True))
    return [next(found) if need else None for need in needed]


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


@lru_cache(maxsize=256)
def runner_of(plan: str) -> Runner:
    """The runner that a plan's text describes: how an operator finds its kernel in any process."""
    described = json.loads(plan)
    products = described.get("products", "float32")  # a program exported before there were any others
    cell = Cell.from_json(described["cell"])
    return Runner(cell, described["sizes"], described["backend"], None, products, described.get("recompute"))

