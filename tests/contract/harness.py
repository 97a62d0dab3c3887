"""Makes cases of random distinct numbers, runs them on any backend, and compares: `agree` raises, so a test can't forget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch

from recell.compiler.build import Call, Coins, Variant, build
from recell.compiler.segments import SegmentedKernel
from recell.language.cell import Cell
from tests.contract.descriptions import BACKENDS, DIFFERENCES, TOLERANCE, cell_named, description_of, sizes_of

PLAIN = Variant()
VARIANTS = {
    "plain": PLAIN,
    "mask": Variant(mask=True),
    "reset": Variant(reset=True),
    "training": Variant(training=True),
    "all": Variant(training=True, mask=True, reset=True),
}
ROWS, STEPS = 7, 5
RAGGED = (6, 5, 3, 3, 1)  # row 0 is whole, row 6 has no step at all


@dataclass(frozen=True, eq=False)
class Case:
    """One run over a sequence in float64: what a Call carries, and the adjoints of what comes out."""

    cell: Cell
    sizes: Mapping[str, int]
    x: np.ndarray
    states: tuple[np.ndarray, ...]
    parameters: tuple[np.ndarray, ...]
    dy: np.ndarray
    dstates: tuple[np.ndarray, ...]
    elapsed: np.ndarray | None = None
    mask: np.ndarray | None = None
    reset: np.ndarray | None = None
    reverse: bool = False
    active: tuple[int, ...] | None = None
    coins: Coins | None = Coins(seed=12345678901, layer=1, direction=0)
    variant: Variant = PLAIN

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    @property
    def rows(self) -> int:
        return self.x.shape[1]

    def at(self, steps: slice | list[int], states: tuple[np.ndarray, ...] | None = None) -> Case:
        """These steps alone, from these states."""
        cut = {n: a[steps] for n in ("x", "dy", "elapsed", "mask", "reset") if (a := getattr(self, n)) is not None}
        return replace(self, **cut, **({} if states is None else {"states": states}))

    def row(self, number: int) -> Case:
        """One row alone, with its own number for the coins."""
        cut = {n: a[:, [number]] for n in ("x", "dy", "elapsed", "mask", "reset") if (a := getattr(self, n)) is not None}
        assert self.coins is not None
        return replace(
            self,
            **cut,
            states=tuple(s[[number]] for s in self.states),
            dstates=tuple(s[[number]] for s in self.dstates),
            coins=replace(self.coins, rows=np.array([number])),
            active=None,
        )

    @property
    def fresh_states(self) -> tuple[np.ndarray, ...]:
        return tuple(np.full_like(s, state.initial) for s, state in zip(self.states, self.cell.states, strict=True))


def make(
    cell: Cell,
    sizes: Mapping[str, int],
    *,
    steps: int = STEPS,
    rows: int = ROWS,
    variant: Variant = PLAIN,
    seed: int = 0,
    scale: float = 0.5,
) -> Case:
    """Random distinct weights, non-zero initial states; time starts at a row's own number."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.uniform(-1, 1, shape)  # noqa: E731
    widths = cell.state_sizes(sizes)
    states = tuple(
        np.arange(rows, dtype=float)[:, None] if s.size is None else draw(rows, w)
        for s, w in zip(cell.states, widths, strict=True)
    )
    chance = lambda rate: (rng.random((steps, rows)) < rate).astype(float)  # noqa: E731
    return Case(
        cell, sizes, draw(steps, rows, sizes["input"]), states,
        tuple(scale * rng.normal(size=p.shape) * min(1, 3 / np.sqrt(max(p.shape, default=1))) for p in cell.parameters(sizes)),
        draw(steps, rows, cell.output_size(sizes)), tuple(draw(rows, w) for w in widths),
        elapsed=rng.uniform(0.2, 2, (steps, rows)) if cell.uses_elapsed else None,
        mask=chance(0.7) if variant.mask else None, reset=chance(0.3) if variant.reset else None, variant=variant,
    )  # fmt: skip


@cache
def case_of(name: str, variant: str = "plain", *, wide: bool = False, rows: int = ROWS, steps: int = STEPS) -> Case:
    """The case of a described cell; made once, so that the reference is computed once."""
    cell, how = cell_named(name), description_of(name)
    hidden = how.wide if wide else how.hidden
    return make(
        cell, sizes_of(cell, hidden, how.sizes), steps=steps, rows=rows, variant=VARIANTS[variant], seed=len(name) + hidden
    )


def _arrays(case: Case, library: str, dtype: str) -> Call:
    def one(array: Any) -> Any:
        if array is None:
            return None
        array = np.array(array, dtype, order="C")
        return torch.from_numpy(array) if library == "torch" else array

    return Call(
        one(case.x),
        tuple(map(one, case.states)),
        tuple(map(one, case.parameters)),
        reverse=case.reverse,
        active=None if case.active is None else list(case.active),
        mask=one(case.mask),
        reset=one(case.reset),
        elapsed=one(case.elapsed),
        coins=case.coins,
    )


def _kernel(case: Case, backend: str, dtype: str) -> Any:
    return build(case.cell, case.sizes, backend=backend, dtype=dtype, variant=case.variant)


def plain(array: Any) -> np.ndarray:
    return array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)


def forward(case: Case, backend: str, dtype: str = "float64", *, save: bool = False) -> dict[str, np.ndarray]:
    """y and the last states by name."""
    found = _kernel(case, backend, dtype).forward(_arrays(case, BACKENDS[backend].library, dtype), save=save)
    return _outcome(case, found)


def _outcome(case: Case, found: Any) -> dict[str, np.ndarray]:
    return {"y": plain(found.y), **{f"last {s.name}": plain(v) for s, v in zip(case.cell.states, found.states, strict=True)}}


def states_of(case: Case, outcome: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(outcome[f"last {s.name}"] for s in case.cell.states)


def trace(case: Case, backend: str) -> dict[str, np.ndarray]:
    found = _kernel(case, backend, "float64").trace(_arrays(case, BACKENDS[backend].library, "float64"))
    return {name: plain(value) for name, value in found.items()}


def everything(
    case: Case, backend: str, dtype: str = "float64", library: str | None = None, segment: int | None = None
) -> dict[str, np.ndarray]:
    """Forward and all gradients of sum(y * dy) + sum(states * dstates), by name; `segment` steps at a time where given."""
    kernel, how = _kernel(case, backend, dtype), BACKENDS[backend]
    if segment is not None:
        kernel = SegmentedKernel(kernel, segment)
    call = _arrays(case, library or how.library, dtype)
    seeds = _arrays(replace(case, x=case.dy, states=case.dstates), library or how.library, dtype)
    if how.differentiates == "autograd":
        found, x, states, parameters = _by_autograd(case, kernel, call, seeds)
    else:
        found = kernel.forward(call, save=True)
        gradients = kernel.backward(found.saved, seeds.x, seeds.states)
        x, states, parameters = gradients.x, gradients.states, gradients.parameters
    result = _outcome(case, found)
    if x is not None:
        result["dx"] = plain(x)
    result |= {f"d initial {s.name}": plain(g) for s, g in zip(case.cell.states, states, strict=True)}
    infos = case.cell.graph.parameters
    result |= {f"d {info.name}": plain(g) for info, g in zip(infos, parameters, strict=True) if info.trainable}
    return result


def _by_autograd(case: Case, kernel: Any, call: Call, seeds: Call) -> tuple[Any, Any, Any, Any]:
    timeless = [v for v, s in zip(call.states, case.cell.states, strict=True) if s.size is not None]
    wanted = [*([call.x] if case.variant.input_gradient else []), *timeless, *call.parameters]
    for leaf in wanted:
        leaf.requires_grad_(True)
    found = kernel.forward(call, save=True)
    terms = [(found.y * seeds.x).sum()]
    terms += [(v * d).sum() for v, d, s in zip(found.states, seeds.states, case.cell.states, strict=True) if s.size is not None]
    torch.stack(terms).sum().backward()
    zero = lambda leaf: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad  # noqa: E731
    return (
        found,
        zero(call.x) if case.variant.input_gradient else None,
        tuple(map(zero, call.states)),
        tuple(map(zero, call.parameters)),
    )


_REFERENCE: dict[int, tuple[Case, dict[str, np.ndarray]]] = {}


def by_reference(case: Case) -> dict[str, np.ndarray]:
    """What the definition says, in float64; kept while the test process lives."""
    if id(case) not in _REFERENCE:
        _REFERENCE[id(case)] = case, everything(case, "reference")
    return _REFERENCE[id(case)][1]


@cache
def turned(case: Case, reverse: bool, ragged: bool) -> Case:
    return replace(case, reverse=reverse, active=RAGGED if ragged else None)


def agree(
    came: Mapping[str, Any], expected: Mapping[str, Any], dtype: str = "float64", *, tolerance: float | None = None
) -> None:
    """Raises with the name of the first value that differs; NaN must stand at the same places."""
    tolerance = TOLERANCE[dtype] if tolerance is None else tolerance
    if came.keys() != expected.keys():
        raise AssertionError(f"other values: {sorted(came.keys() ^ expected.keys())}")
    for name, want in expected.items():
        have, want = np.asarray(came[name], np.float64), np.asarray(want, np.float64)
        if have.shape != want.shape:
            raise AssertionError(f"{name} has shape {have.shape}, not {want.shape}")
        if not np.array_equal(np.isnan(have), np.isnan(want)):
            raise AssertionError(f"{name} has NaN at other places")
        if want.size:
            error = np.nan_to_num(np.abs(have - want)).max() / max(1.0, np.nan_to_num(np.abs(want)).max())
            if not error <= tolerance:
                raise AssertionError(f"{name} differs by {error:.2e}; allowed {tolerance:.0e}")


def same_bits(came: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if came.keys() != expected.keys():
        raise AssertionError(f"other values: {sorted(came.keys() ^ expected.keys())}")
    for name, want in expected.items():
        if np.asarray(came[name]).tobytes() != np.asarray(want).tobytes():
            raise AssertionError(f"{name} has other bits, by {np.nanmax(np.abs(came[name] - want)):.2e}")


def loss(case: Case, backend: str) -> float:
    found = forward(case, backend, save=True)
    total = float((found["y"] * case.dy).sum())
    return total + sum(
        float((v * d).sum())
        for v, d, s in zip(states_of(case, found), case.dstates, case.cell.states, strict=True)
        if s.size is not None
    )


def moved(case: Case, what: str, index: int, step: np.ndarray) -> Case:
    if what == "x":
        return replace(case, x=case.x + step)
    arrays = list(getattr(case, what))
    arrays[index] = arrays[index] + step
    return replace(case, **{what: tuple(arrays)})


def leaves_of(case: Case) -> list[tuple[str, str, int, np.ndarray]]:
    """(gradient's name, field, index, value) of all that carries a gradient."""
    found = [("dx", "x", 0, case.x)]
    found += [(f"d initial {s.name}", "states", i, case.states[i]) for i, s in enumerate(case.cell.states) if s.size is not None]
    return found + [
        (f"d {p.name}", "parameters", i, case.parameters[i]) for i, p in enumerate(case.cell.graph.parameters) if p.trainable
    ]


def equals_central_differences(case: Case, backend: str, directions: int | None, step: float = 1e-5) -> None:
    """Along random directions of every leaf, or (None) along every single number of it."""
    gradients = everything(case, backend)
    rng = np.random.default_rng(7)
    for name, what, index, value in leaves_of(case):
        count = value.size if directions is None else directions
        for k in range(count):
            way = np.zeros(value.shape)
            if directions is None:
                way.flat[k] = 1
            else:
                way = rng.choice([-1.0, 1.0], value.shape) * rng.uniform(0.5, 1.5, value.shape)
                way /= np.sqrt((way**2).sum())
            slope = (
                loss(moved(case, what, index, step * way), backend) - loss(moved(case, what, index, -step * way), backend)
            ) / (2 * step)
            agree({name: (gradients[name] * way).sum()}, {name: slope}, tolerance=DIFFERENCES)
