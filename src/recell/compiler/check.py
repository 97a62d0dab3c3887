"""`recell.verify(cell)`: runs a cell on every backend that can run it and says how far each is from the definition.

Gradients of the reference are compared with central differences, every other backend with the reference: once over plain
sequences, once with all that a sequence can bring (coins, masks, resets, rows of different lengths, the reverse direction).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recell.compiler import backends as _backends
from recell.compiler.build import Call, Coins, Kernel, Variant, backends, build
from recell.errors import CellError, RecellError, ShapeError
from recell.language.cell import Cell

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
DIFFERENCES = 1e-6  # central differences in float64, step 1e-5
WIDTHS = (5, 6, 8, 10, 12, 24, 60, 70)  # tried in this order: a cell may ask for a size that can be divided
EVERYTHING = Variant(training=True, mask=True, reset=True)

Values = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Line:
    """One comparison; `error` is relative to the largest value of 1 or more, None where the backend did not run."""

    backend: str
    dtype: str
    what: str
    error: float | None
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the comparison held, or was not to be made."""
        return self.error is None or self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = (
            f"not run: {self.note}" if self.error is None else f"{self.error:.1e}  {'ok' if self.ok else 'WRONG ' + self.note}"
        )
        return f"{self.backend:<10} {self.dtype:<8} {self.what:<58} {verdict}".rstrip()


@dataclass(frozen=True)
class Report:
    """`ok` if no comparison failed; `str(report)` is the table."""

    cell: str
    sizes: Mapping[str, int]
    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        """Whether no comparison failed."""
        return all(line.ok for line in self.lines)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {number}" for name, number in self.sizes.items())
        verdict = (
            "every backend computes what its equations say" if self.ok else "NOT every backend computes what its equations say"
        )
        return "\n".join([f"{self.cell} ({sizes}): {verdict}", *map(str, self.lines)])


def verify(cell: Cell) -> Report:
    """Tries the cell with random distinct weights and non-zero initial states at small sizes.

    Raises CellError if the cell is open, ShapeError if no small size fits it.
    """
    if not isinstance(cell, Cell):
        raise CellError(f"verify takes a cell; came {type(cell).__name__}; write recell.verify(recell.cells.get(\"LSTM\"))")
    sizes = _sizes(cell)
    lines: list[Line] = []
    for variant, words in ((Variant(), ""), (EVERYTHING, "; masked, reset, ragged, reversed")):
        call, seeds = _call(cell, sizes, variant)
        expected = _everything(cell, sizes, "reference", "float64", variant, call, seeds)
        error, note = _from_differences(cell, sizes, variant, call, seeds, expected)
        lines.append(Line("reference", "float64", f"gradients by differences{words}", error, DIFFERENCES, note))
        lines += _others(cell, sizes, variant, call, seeds, expected, words)
    return Report(cell.name, sizes, tuple(lines))


def _others(
    cell: Cell, sizes: Mapping[str, int], variant: Variant, call: Call, seeds: Call, expected: Values, words: str
) -> Iterator[Line]:
    for backend in backends():
        if backend == "reference":
            continue
        for dtype, tolerance in TOLERANCE.items():
            what = f"values and gradients{words}"
            try:
                came = _everything(cell, sizes, backend, dtype, variant, call, seeds)
            except (RecellError, ImportError) as refusal:
                yield Line(backend, dtype, what, None, tolerance, str(refusal))
                continue
            error, note = _distance(came, expected)
            yield Line(backend, dtype, what, error, tolerance, note)


def _sizes(cell: Cell) -> dict[str, int]:
    """The first widths that fit; a size that has no number of its own is as wide as `hidden`."""
    symbols = {s for node in cell.graph.nodes for size in node.shape.dims for s in size.symbols} - {
        "input",
        "hidden",
        *cell.defaults,
    }
    refusal: ShapeError | None = None
    for width in WIDTHS:
        named = dict.fromkeys(sorted(symbols), width)
        forced = cell.graph.forced_input
        for wide in (3, 4):  # an input may be split, too
            try:
                forced_wide = wide if forced is None else forced.evaluate({"hidden": width, **cell.defaults, **named})
                return cell.resolve(forced_wide, width, named)
            except ShapeError as error:
                refusal = error
    assert refusal is not None
    raise refusal


def _call(cell: Cell, sizes: Mapping[str, int], variant: Variant) -> tuple[Call, Call]:
    """Random inputs, and in the same form the adjoints of what comes out."""
    rng = np.random.default_rng(0)
    steps, rows = 4, 3
    widths = cell.state_sizes(sizes)
    draw = lambda *shape: rng.uniform(-1, 1, shape)  # noqa: E731 - a word for three uses
    states = tuple(
        np.arange(rows, dtype=float)[:, None] if s.size is None else draw(rows, w)
        for s, w in zip(cell.states, widths, strict=True)
    )
    weights = tuple(rng.normal(size=p.shape) / np.sqrt(max(p.shape, default=1)) for p in cell.parameters(sizes))
    stream = lambda rate: (rng.random((steps, rows)) < rate).astype(float)  # noqa: E731
    whole = variant != EVERYTHING
    call = Call(
        draw(steps, rows, sizes["input"]),
        states,
        weights,
        reverse=not whole,
        active=None if whole else [3, 3, 2, 1],
        mask=stream(0.7) if variant.mask else None,
        reset=stream(0.3) if variant.reset else None,
        elapsed=rng.uniform(0.5, 2, (steps, rows)) if cell.uses_elapsed else None,
        coins=Coins(1, 0, 0),
    )
    adjoints = tuple(np.zeros((rows, 1)) if s.size is None else draw(rows, w) for s, w in zip(cell.states, widths, strict=True))
    return call, replace(call, x=draw(steps, rows, cell.output_size(sizes)), states=adjoints)


def _everything(
    cell: Cell, sizes: Mapping[str, int], backend: str, dtype: str, variant: Variant, call: Call, seeds: Call
) -> Values:
    kernel = build(cell, sizes, backend=backend, dtype=dtype, variant=variant)
    module = importlib.import_module(f"{_backends.__name__}.{backend}.backend")
    run: Callable[..., tuple[Any, ...]] = _by_torch if getattr(module, "AUTOGRAD", False) else _by_backward
    y, states, x, initial, parameters = run(cell, kernel, _as(call, dtype), _as(seeds, dtype))
    values: Values = {"y": y, "dx": x}
    values |= {s.name: v for s, v in zip(cell.states, states, strict=True)}
    values |= {
        f"the gradient of the initial {s.name}": v for s, v in zip(cell.states, initial, strict=True) if s.size is not None
    }
    infos = cell.graph.parameters
    return values | {f"the gradient of {p.name}": g for p, g in zip(infos, parameters, strict=True) if p.trainable}


def _as(call: Call, dtype: str) -> Call:
    one = lambda a: None if a is None else np.array(a, dtype, order="C")  # noqa: E731
    return replace(
        call,
        x=one(call.x),
        states=tuple(map(one, call.states)),
        parameters=tuple(map(one, call.parameters)),
        mask=one(call.mask),
        reset=one(call.reset),
        elapsed=one(call.elapsed),
    )


def _by_backward(_: Cell, kernel: Kernel, call: Call, seeds: Call) -> tuple[Any, ...]:
    found = kernel.forward(call, save=True)
    gradients = kernel.backward(found.saved, seeds.x, seeds.states)
    return found.y, found.states, gradients.x, gradients.states, gradients.parameters


def _by_torch(cell: Cell, kernel: Kernel, call: Call, seeds: Call) -> tuple[Any, ...]:
    import torch

    def one(array: Any) -> Any:
        return None if array is None else torch.from_numpy(array)

    x, states, parameters = one(call.x), tuple(map(one, call.states)), tuple(map(one, call.parameters))
    leaves = [x, *states, *parameters]
    for leaf in leaves:
        leaf.requires_grad_(True)
    found = kernel.forward(
        replace(
            call, x=x, states=states, parameters=parameters, mask=one(call.mask), reset=one(call.reset), elapsed=one(call.elapsed)
        ),
        save=True,
    )
    total = (found.y * one(seeds.x)).sum()
    for value, seed in zip(found.states, seeds.states, strict=True):
        total = total + (value * one(seed)).sum()
    gradients = torch.autograd.grad(total, leaves, materialize_grads=True)
    plain = [g.numpy() for g in gradients]
    middle = 1 + len(states)
    return found.y.detach().numpy(), [s.detach().numpy() for s in found.states], plain[0], plain[1:middle], plain[middle:]


def _distance(came: Values, expected: Values) -> tuple[float, str]:
    """The largest error and the name of the value that has it."""
    errors = {
        name: float(np.max(np.abs(came[name] - want), initial=0) / max(1.0, np.max(np.abs(want), initial=0)))
        for name, want in expected.items()
    }
    worst = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
    return (float("inf") if np.isnan(errors[worst]) else errors[worst]), worst


def _from_differences(
    cell: Cell, sizes: Mapping[str, int], variant: Variant, call: Call, seeds: Call, expected: Values
) -> tuple[float, str]:
    """The largest error of the reference's gradients along random directions, and whose it is."""
    kernel = build(cell, sizes, backend="reference", dtype="float64", variant=variant)

    def loss(moved: Call) -> float:
        found = kernel.forward(moved, save=False)
        return float((found.y * seeds.x).sum() + sum((v * d).sum() for v, d in zip(found.states, seeds.states, strict=True)))

    rng = np.random.default_rng(1)
    came: Values = {}
    slopes: Values = {}
    for name, value, place in _leaves(cell, call):
        way = rng.choice([-1.0, 1.0], value.shape) * rng.uniform(0.5, 1.5, value.shape)
        way /= np.sqrt((way**2).sum())
        came[name] = np.asarray((expected[name] * way).sum())
        slopes[name] = np.asarray((loss(place(value + 1e-5 * way)) - loss(place(value - 1e-5 * way))) / 2e-5)
    return _distance(came, slopes)


def _leaves(cell: Cell, call: Call) -> Iterator[tuple[str, Any, Any]]:
    """(name, value, new value -> the call with it) of all that carries a gradient."""
    yield "dx", call.x, lambda v: replace(call, x=v)
    for i, state in enumerate(cell.states):
        if state.size is not None:
            yield (
                f"the gradient of the initial {state.name}",
                call.states[i],
                lambda v, i=i: replace(call, states=_with(call.states, i, v)),
            )
    for i, info in enumerate(cell.graph.parameters):
        if info.trainable:
            yield (
                f"the gradient of {info.name}",
                call.parameters[i],
                lambda v, i=i: replace(call, parameters=_with(call.parameters, i, v)),
            )


def _with(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])
