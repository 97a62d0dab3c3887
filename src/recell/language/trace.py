"""Runs a cell's function once on symbols and records the graph."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from numbers import Real
from types import CodeType, FrameType
from typing import Any, NoReturn

from recell.errors import CellError, unknown
from recell.graph.graph import PARAMETER, ROW, ROW_SCALAR, Builder, ParameterInfo, Shape, ShapeClash
from recell.graph.ops import OPS
from recell.graph.size import UNKNOWN, Size
from recell.language.value import Number, Parameters, ParameterValue, Value

# Names that `init=` may give; recell.nn.init fills by them.
MATRIX_INITIALISERS = frozenset({"glorot", "orthogonal", "identity", "spectral_radius"})
INITIALISERS = MATRIX_INITIALISERS | {"uniform_fan_in"}


class KindLearned(Exception):
    """A name taken for a vector turned out to be a matrix: the recording starts again with that knowledge."""


class Tracer:
    """One recording: the builder, the parameters met so far, the author's names."""

    def __init__(self, name: str, code: CodeType, kinds: dict[str, int], sizes: Mapping[str, Size]) -> None:
        self.name = name
        self.code = code
        self.kinds = kinds  # parameter -> number of dims, learned over recordings
        self.sizes = sizes
        self.builder = Builder()
        self.parameters: dict[str, ParameterInfo] = {}
        self.names: list[tuple[str, int]] = []
        self.concats: list[list[Size]] = []
        self.chained: list[tuple[Size, int]] = []  # the size between two products, and the line
        self.coins = 0
        self.first_use: dict[str, int] = {}  # parameter -> line of the cell's function
        self.declared: set[str] = set()  # parameters whose kind the author said
        self.return_line = code.co_firstlineno
        self.sized: set[str] = set()  # keys of `sizes` that named something

    # -- where we are -------------------------------------------------------------------------------------------
    def frame(self) -> FrameType | None:
        """The running frame of the cell's own function; None after it has returned."""
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        while frame is not None and frame.f_code is not self.code:
            frame = frame.f_back
        return frame

    def fail(self, message: str, *, line: int | None = None) -> NoReturn:
        """Names the line that runs; after the function has returned, the line of its return."""
        frame = self.frame()
        line = line or (frame.f_lineno if frame else self.return_line)
        raise CellError(f"{self.name}, line {line}: {message}")

    def see_locals(self, local: Mapping[str, Any]) -> None:
        """Records which local names which value; a list `u` gives `u_0`, `u_1`."""
        for name, item in local.items():
            if isinstance(item, Value):
                self._see(name, item)
            elif isinstance(item, (list, tuple)):
                for i, part in enumerate(item):
                    if isinstance(part, Value):
                        self._see(f"{name}_{i}", part)

    def _see(self, name: str, value: Value) -> None:
        if isinstance(value, ParameterValue) or value.tracer is not self:
            return
        pair = (name, value.node)
        if pair in self.names:
            return
        self.names.append(pair)
        if name in self.sizes and value.shape.is_row and value.shape.dims:
            self.sized.add(name)
            self.tie(value.shape.dims[0], self.sizes[name], name)

    def tie(self, a: Size, b: Size, what: str) -> None:
        """Makes two sizes of what bears this name equal, or fails."""
        if not self.builder.unifier.equate(a, b):
            reduce = self.builder.unifier.reduce
            self.fail(f"the size of {what!r} does not fit; came {reduce(a)} and {reduce(b)}; check its uses or sizes={{...}}")

    # -- values ---------------------------------------------------------------------------------------------------
    def value(self, item: object) -> Value:
        """A value of this recording from a value or a plain number; fails for anything else."""
        if isinstance(item, Value):
            if item.tracer is not self:
                self.fail("a value of another cell was used; came a value from outside; write it inside this cell")
            return item
        if isinstance(item, bool) or not isinstance(item, Real):  # NumPy's numbers are Real, too
            self.fail(f"an operand must be a value of the step or a number; came {type(item).__name__}; "
                      "write recell's ops on values, and constants as keyword-only arguments")
        return Value(self, self.builder.constant(float(item)))

    def apply(self, name: str, *arguments: object, attributes: tuple[Any, ...] = ()) -> Value:
        """Records an op; fails with the operands' names where their kinds or sizes do not fit."""
        frame = self.frame()
        if frame is not None:
            self.see_locals(frame.f_locals)
        operands = [self.value(a) for a in arguments]
        for operand in operands:
            self._learn_elementwise(operand)
        self._refuse_numbers_as_rows(name, operands)
        try:
            node = self.builder.apply(name, tuple(o.node for o in operands), attributes)
        except ShapeClash as clash:
            self.fail(f"the sizes of {self._label(operands)} don't fit in {name}; came {clash}; "
                      "check the equation, or name a size by @cell(sizes={...})")
        except CellError as error:
            self.fail(f"{error}; came {self._label(operands)}")
        return Value(self, node)

    def _refuse_numbers_as_rows(self, name: str, operands: list[Value]) -> None:
        if OPS[name].kind == "row" and not operands[0].shape.dims:
            self.fail(f"{name} reads a vector; came a single number; write {name}(vector)")
        if OPS[name].kind == "row" and operands[0].shape.is_matrix:
            self.fail(f"{name} reads a vector; came a matrix parameter; write {name}(p.b)")

    def _learn_elementwise(self, operand: Value) -> None:
        if isinstance(operand, ParameterValue):
            self.kinds.setdefault(operand.name, 1)

    def _label(self, operands: list[Value]) -> str:
        frame = self.frame()
        if frame is not None:
            self.see_locals(frame.f_locals)
        table = {node: name for name, node in self.names}
        found = []
        for operand in operands:
            name = operand.name if isinstance(operand, ParameterValue) else table.get(operand.node)
            found.append(f"{name} ({self._reduced(operand.shape)})" if name else f"a {self._reduced(operand.shape)}")
        return " and ".join(found)

    def _reduced(self, shape: Shape) -> str:
        text = str(Shape(shape.space, tuple(self.builder.unifier.reduce(d) for d in shape.dims)))
        return text if UNKNOWN not in text else text.split(" of ")[0] + " of unsettled size"

    # -- parameters -----------------------------------------------------------------------------------------------
    def parameter_node(self, name: str) -> int:
        """The node of a parameter, a vector unless something said otherwise."""
        if name not in self.parameters:
            self._add_parameter(name, tuple([None] * self.kinds.get(name, 1)), True, None)
        return self.parameters[name].node

    def declare(self, name: str, dims: tuple[Any, ...], trainable: bool, init: Any) -> Value:
        """A parameter whose kind the author says: `dims` are its sizes, None where its use is to tell."""
        if name in self.parameters:
            known = self.parameters[name]
            if len(known.shape.dims) != len(dims):
                self.fail(f"the parameter {name!r} is already a {known.shape}; came a second declaration; "
                          "declare it at first use")
            return Value(self, known.node)
        self.kinds[name] = len(dims)
        self.declared.add(name)
        self._add_parameter(name, dims, trainable, self._checked_init(name, len(dims), init))
        return Value(self, self.parameters[name].node)

    def _checked_init(self, name: str, dims: int, init: Any) -> Any:
        """A number, a function, or an initialiser's name that fills what is declared."""
        if init is None or callable(init):
            return init
        if isinstance(init, str):
            plain = init.removesuffix("_")
            if plain not in INITIALISERS:
                self.fail(f"the init of {name!r} names no initialiser: {unknown('initialiser', init, INITIALISERS)}")
            if plain in MATRIX_INITIALISERS and dims != 2:
                self.fail(f"the initialiser {init!r} fills a matrix; came {name!r}, a {('scalar', 'vector')[dims]}; "
                          "write a number, init=0.1")
            return init
        if isinstance(init, bool) or not isinstance(init, Real) or not math.isfinite(init):
            self.fail(f"the init of {name!r} must be a number, an initialiser's name or a function shape -> array; "
                      f"came {init!r:.60}; write init=1.0 or init='orthogonal'")
        return float(init)

    def _add_parameter(self, name: str, dims: tuple[Any, ...], trainable: bool, init: Any) -> None:
        sizes = tuple(self.builder.unifier.fresh() if d is None else Size.parse(d) for d in dims)
        shape = Shape(PARAMETER, sizes)
        node = self.builder.leaf("parameter", (len(self.parameters),), shape)
        self.parameters[name] = ParameterInfo(name, node, shape, trainable, init)
        frame = self.frame()
        self.first_use[name] = frame.f_lineno if frame else self.return_line

    def _as_matrix(self, value: Value, place: str) -> Value:
        """Settles that a parameter is a matrix; starts the recording again if it was taken for a vector."""
        if isinstance(value, ParameterValue):
            known = self.kinds.get(value.name)
            if known is None or (known == 1 and value.name not in self.parameters):
                self.kinds[value.name] = 2
            elif known == 1 and value.name not in self.declared:
                self.kinds[value.name] = 2
                raise KindLearned
        shape = value.shape
        if shape.is_row:
            self.fail(f"left of @ stand parameters alone; came {self._label([value])} {place}; write p.W @ x")
        if not shape.is_matrix:
            self.fail(f"{place} must stand a matrix; came {self._label([value])}; write p.W @ x, "
                      "or declare p.matrix(name)")
        return value

    def product(self, left: Value, right: object) -> Value:
        """Records `left @ right`: a matrix times a vector of the row, or parameters among themselves."""
        if not isinstance(right, Value):
            self.fail(f"right of @ must stand a value of the step or a matrix; came {type(right).__name__}; write p.W @ x")
        if left.shape.is_row if not isinstance(left, ParameterValue) else False:
            self.fail(f"left of @ stand parameters alone; came {self._label([left])}; write p.W @ x, "
                      "and `r * (p.U @ h)` for a gate times a product")
        matrix = self._as_matrix(left, "left of @")
        if isinstance(right, ParameterValue) and self.kinds.get(right.name) is None:
            self.kinds[right.name] = 2  # right of a matrix @ stands a matrix unless a vector was declared
        if not right.shape.is_row:
            if not right.shape.dims:
                self.fail(f"right of @ must stand a vector or a matrix; came {self._label([right])}; write p.W @ x")
            if right.shape.is_matrix:
                self._chain(right)
            return self.apply("matmul", matrix, right)
        if not right.shape.dims:
            self.fail(f"right of @ must stand a vector; came {self._label([right])}; write p.w * t for a number per row")
        if self.builder.nodes[right.node].op in ("product", "matmul"):
            self._chain(right)
        return self.apply("product", matrix, right)

    def _chain(self, inner: Value) -> None:
        """Remembers the size between two products: nothing but its author can say what it is."""
        frame = self.frame()
        self.chained.append((inner.shape.dims[0], frame.f_lineno if frame else 0))

    def transpose(self, value: Value) -> Value:
        """Records `.T` of a parameter matrix."""
        return self.apply("transpose", self._as_matrix(value, "under .T"))

    # -- layout and randomness ------------------------------------------------------------------------------------
    def concat(self, parts: tuple[Any, ...]) -> Value:
        """Records vectors side by side."""
        values = [self.value(p) for p in parts]
        if any(v.shape.is_matrix for v in values):
            self.fail("concat takes vectors; came a matrix parameter; write concat(x, h)")
        self.concats.append([v.shape.dims[0] for v in values if v.shape.dims])
        return self.apply("concat", *values)

    def split(self, value: Value, parts: int) -> tuple[Value, ...]:
        """Records vectors of equal size that make up the value."""
        if len(value.shape.dims) != 1:
            self.fail(f"split takes a vector; came {self._label([value])}; write split(v, {parts})")
        size = self.builder.unifier.reduce(value.shape.dims[0]).scaled(1 / _fraction(parts))
        return tuple(
            self.apply("slice", value, attributes=(size.scaled(i), size)) for i in range(parts)
        )

    def coin(self, like: Value, rate: float, per: str) -> Value:
        """Records a coin for each unit of `like`, with a number of its own."""
        self.coins += 1
        value = self.apply("coin", like, attributes=(rate, per, self.coins - 1))
        if per == "step" and not value.shape.is_row:
            self.fail(f"a parameter's coins are drawn once a call; came per='step' for {self._label([like])}; "
                      "write per='sequence'")
        return value

    def settle(self) -> dict[str, Size]:
        """What every unknown size became: concat parts alike, the rest `hidden`."""
        unifier = self.builder.unifier
        for parts in self.concats:
            open_parts = [p for p in map(unifier.reduce, parts) if any(s.startswith(UNKNOWN) for s in p.symbols)]
            for part in open_parts[1:]:
                unifier.equate(open_parts[0], part)
        for size, line in self.chained:
            if any(symbol.startswith(UNKNOWN) for symbol in unifier.reduce(size).symbols):
                raise CellError(f"{self.name}, line {line}: the size between two chained products is tied to nothing; "
                                'came W1 @ (W2 @ x) or W1 @ W2; write p.matrix("W2", rows="hidden"), or rows="rank"')
        for node in self.builder.nodes:
            for size in node.shape.dims:
                for symbol in unifier.reduce(size).symbols:
                    if symbol.startswith(UNKNOWN):
                        unifier.equate(Size.symbol(symbol), Size.symbol("hidden"))
        return unifier.settled


def _fraction(parts: int) -> Any:
    from fractions import Fraction

    return Fraction(parts)


def record(name: str, function: Callable[..., Any], arguments: tuple[str, ...], states: Mapping[str, Size | None],
           sizes: Mapping[str, Size], constants: Mapping[str, Any]) -> tuple[Tracer, tuple[Value, ...]]:
    """Runs the function on symbols until every parameter's kind is known; returns the returned values."""
    kinds: dict[str, int] = {}
    for _ in range(200):
        tracer = Tracer(name, function.__code__, kinds, sizes)
        try:
            return tracer, _run(tracer, function, arguments, states, constants)
        except KindLearned:
            continue
    raise CellError(f"{name}: its parameters can't be told apart; declare them by p.matrix and p.vector")


def _run(tracer: Tracer, function: Callable[..., Any], arguments: tuple[str, ...],
         states: Mapping[str, Size | None], constants: Mapping[str, Any]) -> tuple[Value, ...]:
    builder = tracer.builder
    values: dict[str, Any] = {}
    index = 0
    for argument in arguments:
        if argument in states:
            size = states[argument]
            shape = ROW_SCALAR if size is None else Shape(ROW, (size,))
            values[argument] = Value(tracer, builder.leaf("state", (index,), shape))
            index += 1
        elif argument == "dt":
            values[argument] = Value(tracer, builder.leaf("elapsed", (), ROW_SCALAR))
        else:
            values[argument] = Value(tracer, builder.leaf("input", (), Shape(ROW, (Size.symbol("input"),))))
    final: dict[str, Any] = {}
    result = _call_watching(tracer, function, values, constants, final)
    tracer.see_locals(final)
    returned = result if isinstance(result, tuple) else (result,)
    return tuple(tracer.value(v) if isinstance(v, (Value, *Number)) else _not_a_value(tracer, v) for v in returned)


def _not_a_value(tracer: Tracer, item: object) -> NoReturn:
    tracer.fail(f"a cell returns its new states; came {type(item).__name__}; write return h, c")


def _call_watching(tracer: Tracer, function: Callable[..., Any], values: dict[str, Any],
                   constants: Mapping[str, Any], final: dict[str, Any]) -> Any:
    """Calls the function and reads its locals at the return: the last bindings have no op after them."""
    code = function.__code__
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is code:
            final.update(frame.f_locals)
            tracer.return_line = frame.f_lineno

    sys.setprofile(watch)
    try:
        return function(Parameters(tracer), *values.values(), **constants)
    except CellError as error:
        if str(error).startswith(f"{tracer.name}, line "):
            raise
        tracer.fail(str(error))  # raised where nobody knew the line: by an op of plain numbers, by a size
    except (NameError, AttributeError) as error:
        tracer.fail(f"{error}; write p.NAME for a parameter, a keyword-only argument for a constant")
    except TypeError as error:
        tracer.fail(f"{error}; came a Python or NumPy operation that a value of the step does not know; "
                    "write recell's own ops, for example recell.tanh(v)")
    finally:
        _profile_again(before)


def _profile_again(before: Any) -> None:
    """What `sys.getprofile` said is set again; a profiler written in C (cProfile's) is an object that is enabled."""
    sys.setprofile(before if callable(before) else None)
    if before is not None and not callable(before):
        before.enable()
