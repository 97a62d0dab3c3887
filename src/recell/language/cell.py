"""`@cell`: a function of symbols becomes an immutable Cell, checked at definition."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, overload

from recell.errors import CellError, ModelError, ShapeError, is_whole, unknown
from recell.graph import serial, show, verify
from recell.graph.graph import Graph, ParameterInfo, State
from recell.graph.rewrite import tidy
from recell.language.definition import REQUIRED, Definition, check_constant, definition_of, graph_of


@dataclass(frozen=True)
class Parameter:
    """A leaf parameter with numbers for sizes."""

    name: str
    shape: tuple[int, ...]
    trainable: bool
    init: Any


class Cell:
    """A recurrent cell: one step as a graph. Immutable; equal cells compute the same (names do not count)."""

    __slots__ = ("_definition", "_graph", "_key", "defaults", "name")
    _graph: Graph | None

    def __init__(self, name: str, graph: Graph | None, defaults: Mapping[str, int],
                 definition: Definition | None = None) -> None:
        set_ = object.__setattr__
        set_(self, "name", name)
        set_(self, "_graph", graph)
        set_(self, "_key", graph.key if graph else None)
        set_(self, "defaults", dict(defaults))
        set_(self, "_definition", definition)

    def __setattr__(self, name: str, value: object) -> None:
        raise CellError(f"a Cell is immutable; came an assignment to {name!r}; write a new cell or cell.with_(...)")

    # -- identity -------------------------------------------------------------------------------------------------
    @property
    def graph(self) -> Graph:
        """The step graph; CellError where constants are still open."""
        if self._graph is None:
            names = ", ".join(self.open_constants)
            example = f"{self.name}({self.open_constants[0]}=...)"
            raise CellError(f"{self.name} needs its constants first: {names}; came none; write {example}")
        return self._graph

    @property
    def key(self) -> str:
        """The structural hash: what a cache of compiled things may use."""
        return self._key or self.graph.key  # the graph names the constants of an open cell

    @property
    def open_constants(self) -> tuple[str, ...]:
        """The names of the constants that have no value yet: the cell can be used when all have one."""
        constants = self._definition.constants if self._definition else ()
        return tuple(name for name, value in constants if value is REQUIRED)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Cell({self.name})" if self._graph else f"Cell({self.name}, open: {', '.join(self.open_constants)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.to_json(), tuple(_kept(self.name, info) for info in self.graph.parameters))

    def __deepcopy__(self, _: dict[int, Any]) -> Cell:
        return self

    # -- constants ------------------------------------------------------------------------------------------------
    def __call__(self, *positional: object, **constants: Any) -> Cell:
        """A new cell with these constants."""
        if positional:
            raise CellError(f"{self.name} takes its constants by name; came {len(positional)} positional; "
                            f"write {self.name}(name=value)")
        if self._definition is None:
            raise CellError(f"{self.name} was loaded or modified and is closed: its constants are fixed; "
                            f"came {sorted(constants)}; write the constants first: Name(constant=value).with_(...)")
        known = dict(self._definition.constants)
        for name in constants:
            if name not in known:
                raise CellError(f"{self.name} has no constant {name!r}; {unknown('constant', name, known)}"
                                if known else f"{self.name} has no constants; came {name}; write {self.name}")
            check_constant(self.name, name, constants[name])
        merged = tuple((name, constants.get(name, value)) for name, value in known.items())
        d = self._definition
        return _define(self.name, Definition(d.function, d.sizes, d.initial, d.output, merged), self.defaults)

    def with_(self, *modifiers: Callable[[Graph], Graph]) -> Cell:
        """A new, closed cell: `LSTM.with_(zoneout(h=0.1), layer_norm())`, modifiers applied from left to right.

        A modifier is one of `recell.modifiers` or any function graph -> graph. Raises CellError where one does not fit.
        """
        graph = self.graph
        for modifier in modifiers:
            graph = _modified(self.name, graph, modifier)
        return Cell(self.name, graph, self.defaults)

    # -- sizes ----------------------------------------------------------------------------------------------------
    @property
    def states(self) -> tuple[State, ...]:
        """The states in their order, time `t` last where the cell reads it."""
        return self.graph.states

    def resolve(self, input_size: int, hidden_size: int, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
        """Every size symbol's number; ShapeError where one is missing, unknown or does not fit."""
        if sizes is not None and not isinstance(sizes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ShapeError(f"sizes holds numbers by the sizes' names; came {sizes!r:.60}; write sizes={{'context': 40}}")
        return self._numbers({"input": input_size, "hidden": hidden_size, **(sizes or {})})

    def _numbers(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """`sizes`, checked, and the cell's own numbers for what they leave out."""
        given: dict[str, int] = {**self.defaults, **sizes}
        for name, number in given.items():
            if not is_whole(number, least=1):
                raise ShapeError(f"the size {name!r} of {self.name} must be a whole number of at least 1; came {number!r}; "
                                 f"write {name}_size=64" if name in ("input", "hidden") else
                                 f"the size {name!r} of {self.name} must be a whole number of at least 1; came {number!r}; "
                                 f"write sizes={{{name!r}: 40}}")
        given = {name: int(number) for name, number in given.items()}  # NumPy's numbers too
        used = self.symbols
        for name in sizes:
            if name not in used | {"input", "hidden"} | self.defaults.keys():
                raise ShapeError(unknown(f"size of {self.name}", name, used or {"input"}))
        missing = sorted(used - given.keys())
        if missing:
            raise ShapeError(f"{self.name} needs a number for {', '.join(missing)}; came {sorted(given)}; "
                             f"write sizes={{{missing[0]!r}: 40}}")
        forced = self.graph.forced_input
        if forced is not None and forced.evaluate(given) != given["input"]:
            raise ShapeError(f"{self.name} needs an input as wide as {forced}, {forced.evaluate(given)}; "
                             f"came input_size={given['input']}; write input_size={forced.evaluate(given)}, "
                             "or another hidden_size")
        self._check_numbers(given)
        return given

    @property
    def symbols(self) -> set[str]:
        """The names of all sizes that the cell's shapes speak of."""
        found = {s for node in self.graph.nodes for size in node.shape.dims for s in size.symbols}
        return found | set(self.graph.forced_input.symbols if self.graph.forced_input else ())

    def parameters(self, sizes: Mapping[str, int]) -> tuple[Parameter, ...]:
        """The leaf parameters by first use, under the author's names; `sizes` as `resolve` gives them, defaults left out or not.

        >>> from recell import cells
        >>> [(p.name, p.shape) for p in cells.SCRN.parameters({"input": 8, "hidden": 6})]
        [('B', (40, 8)), ('P', (6, 40)), ('A', (6, 8)), ('R', (6, 6))]
        """
        numbers = self._numbers(sizes)
        return tuple(_sized(info, numbers) for info in self.graph.parameters)

    def state_sizes(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The width of each state, 1 for time; `sizes` as `resolve` gives them, defaults left out or not."""
        numbers = self._numbers(sizes)
        return tuple(1 if s.size is None else s.size.evaluate(numbers) for s in self.states)

    def output_size(self, sizes: Mapping[str, int]) -> int:
        """The width of y; `sizes` as `resolve` gives them, defaults left out or not."""
        shapes, numbers = [self.graph.nodes[n].shape for n in self.graph.output], self._numbers(sizes)
        return sum(s.dims[0].evaluate(numbers) if s.dims else 1 for s in shapes)

    @property
    def brings_output(self) -> bool:
        """True if the cell has its own output layer (a size symbol `output`): only the last layer may be one."""
        return "output" in self.symbols

    @property
    def uses_time(self) -> bool:
        """Whether the cell reads t, the number of the step."""
        return any(s.size is None for s in self.states)

    @property
    def uses_elapsed(self) -> bool:
        """Whether the cell reads dt, the time since the step before."""
        return self.graph.uses_elapsed

    @property
    def has_coins(self) -> bool:
        """Whether the cell draws coins in training."""
        return self.graph.has_coins

    def stash_floats(self, sizes: Mapping[str, int]) -> int:
        """Floats per row and step that training keeps for the backward step: row scalars included, x and y excluded."""
        from recell.compiler.planner import stash_floats  # what is kept is the plan's to say; see tests/test_house.py

        return stash_floats(self, self._numbers(sizes))

    def _check_numbers(self, sizes: Mapping[str, int]) -> None:
        for node in self.graph.nodes:
            for size in node.shape.dims:
                size.evaluate(sizes)
            if node.op == "slice":
                start, part = node.attributes
                start.evaluate(sizes, least=0)  # the part begins inside the whole
                rest = self.graph.nodes[node.inputs[0]].shape.dims[0] - start - part
                rest.evaluate(sizes, least=0)  # the part ends inside the whole

    # -- saying what it is ----------------------------------------------------------------------------------------
    @property
    def module(self) -> str | None:
        """The module in which its function was written; None for a closed cell, which has none."""
        return self._definition.function.__module__ if self._definition else None

    @property
    def docstring(self) -> str | None:
        """Its function's docstring, without indentation; None where there is none."""
        return inspect.getdoc(self._definition.function) if self._definition else None

    def equations(self) -> str:
        """The equations as text, with the author's names."""
        return show.text(self.graph)

    def latex(self) -> str:
        """The equations as a LaTeX `aligned` block."""
        return show.latex(self.graph)

    def diagram(self) -> str:
        """The step graph in DOT."""
        return show.dot(self.graph, self.name)

    def to_json(self) -> dict[str, Any]:
        """The step graph as data: what a saved model carries."""
        return {"name": self.name, "defaults": self.defaults, "graph": serial.to_json(self.graph)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Cell:
        """A closed cell from its data; ModelError if the graph does not verify. Runs no code of the cell's author."""
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str) or not data["name"].isidentifier():
            raise ModelError("a saved cell must have a name; came none that is a Python name; save the model again")
        graph = serial.from_json(data.get("graph"))
        verify.verify(graph, ModelError)
        defaults = data.get("defaults", {})
        if not isinstance(defaults, dict) or not all(is_whole(v) for v in defaults.values()):
            raise ModelError("a saved cell's default sizes must be whole numbers; came others; save the model again")
        return Cell(data["name"], graph, defaults)


def _unpickled(data: Mapping[str, Any], inits: tuple[Any, ...]) -> Cell:
    """A cell out of a pickle: its graph, and how its parameters start."""
    cell = Cell.from_json(data)
    infos = zip(cell.graph.parameters, inits, strict=True)
    return Cell(cell.name, replace(cell.graph, parameters=tuple(replace(i, init=init) for i, init in infos)), cell.defaults)


@dataclass(frozen=True)
class _Lost:
    """In the place of an initialiser that a pickle can't name: drawing it anew would be silently wrong."""

    cell: str
    parameter: str

    def __call__(self, *_: object) -> NoReturn:
        raise CellError(f"{self.cell} came out of a pickle, and how {self.parameter} starts is a function that no module names; "
                        "write it at the top of a module")


def _kept(cell: str, info: ParameterInfo) -> Any:
    """An initialiser as a pickle holds it: a number, a name, or a function that its module names."""
    function = info.init.func if isinstance(info.init, functools.partial) else info.init
    if not callable(function) or isinstance(function, _Lost):
        return info.init
    named = getattr(sys.modules.get(getattr(function, "__module__", "")), getattr(function, "__qualname__", ""), None)
    return info.init if named is function else _Lost(cell, info.name)


def _modified(name: str, graph: Graph, modifier: Callable[[Graph], Graph]) -> Graph:
    if not callable(modifier):
        raise CellError(f"{name}.with_ takes modifiers; came {modifier!r}; write {name}.with_(recell.modifiers.layer_norm())")
    try:
        changed = modifier(graph)
    except CellError as error:
        raise CellError(f"{name}.with_: {error}") from None
    if not isinstance(changed, Graph):
        raise CellError(f"{name}.with_ takes functions graph -> graph; came one that gives {type(changed).__name__}; "
                        f"write {name}.with_(recell.modifiers.layer_norm())")
    changed = tidy(changed)
    verify.verify(changed, CellError)
    return changed


def _sized(info: ParameterInfo, sizes: Mapping[str, int]) -> Parameter:
    return Parameter(info.name, tuple(d.evaluate(sizes) for d in info.shape.dims), info.trainable, info.init)


@overload
def cell(function: Callable[..., Any], /) -> Cell: ...
@overload
def cell(*, sizes: Mapping[str, Any] | None = None, defaults: Mapping[str, int] | None = None,
         output: str | tuple[str, ...] | None = None,
         initial: Mapping[str, float] | None = None) -> Callable[[Callable[..., Any]], Cell]: ...


def cell(function: Callable[..., Any] | None = None, /, *, sizes: Mapping[str, Any] | None = None,
         defaults: Mapping[str, int] | None = None, output: str | tuple[str, ...] | None = None,
         initial: Mapping[str, float] | None = None) -> Any:
    """Makes a Cell of a function `(p, x, *states, *, constants)` that returns its new states.

    sizes: names of states or locals -> a number or a linear expression of size symbols (`"context"`, `"2*hidden"`).
    defaults: size symbol -> number. output: a state or local, or a tuple of them (the first state if not given).
    initial: state -> the number that a missing state is filled with (0 if not given).
    Raises CellError with the line, what came and what to write.
    """
    def make(function: Callable[..., Any]) -> Cell:
        definition = definition_of(function, sizes or {}, output, initial or {})
        return _define(function.__name__, definition, defaults or {})

    return make(function) if function is not None else make


def _define(name: str, definition: Definition, defaults: Mapping[str, int]) -> Cell:
    made = Cell(name, graph_of(name, definition), defaults, definition)
    if made.open_constants:
        return made
    used = made.symbols
    for key in defaults:
        if key not in used:
            raise CellError(f"{name}: defaults names no size: " + unknown("size", key, used))
    return made
