"""What `@cell` was given, as its author wrote it: read from the function, checked, and recorded as a graph."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from recell.errors import CellError, unknown
from recell.graph import verify
from recell.graph.graph import Graph
from recell.graph.size import Size
from recell.language.finish import finish
from recell.language.trace import record

REQUIRED = object()  # the value of a constant that has no default


@dataclass(frozen=True)
class Definition:
    """What `@cell` was given: kept so that constants can be set and the cell recorded again."""

    function: Callable[..., Any]
    sizes: tuple[tuple[str, Size], ...]
    initial: tuple[tuple[str, float], ...]
    output: tuple[str, ...] | None
    constants: tuple[tuple[str, Any], ...]


def definition_of(function: Callable[..., Any], sizes: Mapping[str, Any], output: str | tuple[str, ...] | None,
                  initial: Mapping[str, float]) -> Definition:
    """What the arguments of `@cell` and of its function say; CellError where they say nothing that a cell has."""
    if not inspect.isfunction(function):
        raise CellError(f"@cell stands above a function; came {function!r:.60}; write @cell def Name(p, x, h)")
    names = (output,) if isinstance(output, str) else output
    constants = _constants(function)
    parsed = tuple((name, Size.parse(size)) for name, size in sizes.items())
    start = tuple((name, _initial_number(function.__name__, name, value)) for name, value in initial.items())
    return Definition(function, parsed, start, names, constants)


def graph_of(name: str, definition: Definition) -> Graph | None:
    """The step graph, recorded and verified; None where constants are still open."""
    arguments = _arguments(name, definition.function)
    states = [a for a in arguments if a not in ("x", "dt", "t")]
    table = dict(definition.sizes)
    for key in dict(definition.initial):
        if key not in states:
            raise CellError(f"{name}: initial names no state: " + unknown("state", key, states))
    if any(value is REQUIRED for _, value in definition.constants):
        return None
    sizes: dict[str, Size | None] = {s: table.get(s, Size.symbol("hidden")) for s in states}
    if "t" in arguments:
        sizes = {a: (None if a == "t" else sizes[a]) for a in arguments if a in sizes or a == "t"}
    tracer, returned = record(name, definition.function, arguments, sizes, table, dict(definition.constants))
    graph = finish(tracer, returned, sizes, definition.output, dict(definition.initial))
    verify.verify(graph, CellError)
    return graph


def check_constant(cell_name: str, name: str, value: Any) -> None:
    """CellError unless a constant is of a kind that a graph can hold."""
    if isinstance(value, tuple):
        for part in value:
            check_constant(cell_name, name, part)
    elif not (isinstance(value, (int, float, str)) or callable(value)):
        raise CellError(f"the constant {name!r} of {cell_name} must be a number, string, boolean, op, or a tuple of them; "
                        f"came {type(value).__name__}; write a number or a tuple")


def _constants(function: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    result = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            value = REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default
            if value is not REQUIRED:
                check_constant(function.__name__, name, value)
            result.append((name, value))
        elif parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise CellError(f"{function.__name__}: arguments are p, x, the states, and keyword-only constants; came {parameter}; "
                            "write def Cell(p, x, h, *, constant=1.0)")
        elif parameter.default is not inspect.Parameter.empty:
            raise CellError(f"{function.__name__}: a state has no default; came {parameter}; "
                            "write a constant after *, an initial state by @cell(initial={...})")
    return tuple(result)


def _initial_number(cell_name: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise CellError(f"{cell_name}: the initial value of the state {name!r} must be a number; came {value!r}; "
                        f"write @cell(initial={{{name!r}: 1.0}})")
    return float(value)


def _arguments(name: str, function: Callable[..., Any]) -> tuple[str, ...]:
    positional = [n for n, p in inspect.signature(function).parameters.items()
                  if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if len(positional) < 3:
        raise CellError(f"{name}: a cell takes p, x and at least one state; came ({', '.join(positional)}); "
                        f"write def {name}(p, x, h)")
    states = [a for a in positional[2:] if a not in ("t", "dt")]
    if not states:
        raise CellError(f"{name}: a cell has at least one state; came ({', '.join(positional)}); write def {name}(p, x, h)")
    return ("x", *positional[2:])
