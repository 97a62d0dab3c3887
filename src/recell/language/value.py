"""Symbolic values: what `x`, a state or a parameter is while a cell's function runs once to be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from recell.errors import CellError
from recell.graph.graph import Shape

if TYPE_CHECKING:
    from recell.language.trace import Tracer

Number = (int, float)


class Value:
    """One value of the step, recorded and not computed."""

    __slots__ = ("node", "tracer")
    __array_ufunc__ = None  # NumPy then leaves operators to us and refuses its own functions

    def __init__(self, tracer: Tracer, node: int) -> None:
        self.tracer = tracer
        self.node = node

    @property
    def shape(self) -> Shape:
        """Whose value it is (each row's, or a parameter's) and its sizes, as far as they are settled."""
        return self.tracer.builder.shape(self.node)

    def __add__(self, other: object) -> Value:
        return self.tracer.apply("add", self, other)

    def __radd__(self, other: object) -> Value:
        return self.tracer.apply("add", other, self)

    def __sub__(self, other: object) -> Value:
        return self.tracer.apply("sub", self, other)

    def __rsub__(self, other: object) -> Value:
        return self.tracer.apply("sub", other, self)

    def __mul__(self, other: object) -> Value:
        return self.tracer.apply("mul", self, other)

    def __rmul__(self, other: object) -> Value:
        return self.tracer.apply("mul", other, self)

    def __truediv__(self, other: object) -> Value:
        return self.tracer.apply("div", self, other)

    def __rtruediv__(self, other: object) -> Value:
        return self.tracer.apply("div", other, self)

    def __mod__(self, other: object) -> Value:
        return self.tracer.apply("mod", self, other)

    def __rmod__(self, other: object) -> Value:
        return self.tracer.apply("mod", other, self)

    def __neg__(self) -> Value:
        return self.tracer.apply("neg", self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return self.tracer.apply("abs", self)

    def __matmul__(self, other: object) -> Value:
        return self.tracer.product(self, other)

    def __rmatmul__(self, other: object) -> NoReturn:
        self.tracer.fail(f"left of @ stand parameters alone; came {type(other).__name__}; write p.W @ x")

    def __lt__(self, other: object) -> Value:
        return self.tracer.apply("lt", self, other)

    def __le__(self, other: object) -> Value:
        return self.tracer.apply("le", self, other)

    def __gt__(self, other: object) -> Value:
        return self.tracer.apply("gt", self, other)

    def __ge__(self, other: object) -> Value:
        return self.tracer.apply("ge", self, other)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        return self.tracer.apply("eq", self, other)

    def __ne__(self, other: object) -> Value:  # type: ignore[override]
        return self.tracer.apply("ne", self, other)

    __hash__ = object.__hash__

    @property
    def T(self) -> Value:
        """The transpose of a parameter matrix."""
        return self.tracer.transpose(self)

    def __bool__(self) -> NoReturn:
        self.tracer.fail(
            "Python's if, while, and, or, not decide once, at definition, and can't look at a symbolic value; "
            "came a value of the step; write where(condition, a, b)"
        )

    def __float__(self) -> NoReturn:
        self.tracer.fail(
            "a NumPy or math function can't take a symbolic value; came a value of the step; "
            "write recell's own, for example recell.tanh"
        )

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self.__float__()

    def __array_function__(self, *_: Any, **__: Any) -> NoReturn:
        self.__float__()

    def __int__(self) -> NoReturn:
        self.__float__()

    def __index__(self) -> NoReturn:
        self.__float__()

    def __iter__(self) -> NoReturn:
        self.tracer.fail(
            "a value has no parts to loop over; came a value of the step; write split(value, k), "
            "or recell.sum(value) in place of Python's sum"
        )

    def __getitem__(self, key: object) -> NoReturn:
        self.tracer.fail(f"a value can't be indexed; came [{key!r}]; write split(value, k)")

    def __len__(self) -> NoReturn:
        self.tracer.fail("a value's size is a symbol, known only later; came len(value); name sizes by @cell(sizes=...)")

    def __pow__(self, other: object) -> NoReturn:
        self.tracer.fail(f"there is no ** in the language; came ** {other!r}; write v * v, sqrt(v) or exp(k * log(v))")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") or name in Value.__slots__:
            raise AttributeError(name)
        self.tracer.fail(f"a value has no attribute {name!r}; came .{name}; write an op of recell, for example recell.tanh(v)")


class ParameterValue(Value):
    """A parameter not used yet: whether it is a matrix or a vector shows at its first use."""

    __slots__ = ("name",)

    def __init__(self, tracer: Tracer, name: str) -> None:
        self.tracer = tracer
        self.name = name

    @property
    def node(self) -> int:  # type: ignore[override]
        """Its node, made at the first use."""
        return self.tracer.parameter_node(self.name)


class Parameters:
    """`p`: every attribute or key is a parameter; scalar, vector and matrix declare one."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        return ParameterValue(self._tracer, name)

    def __getitem__(self, name: str) -> Value:
        if not isinstance(name, str) or not name.isidentifier():
            self._tracer.fail(f"a parameter's name must be a Python name; came {name!r}; write p['U_1_2']")
        return ParameterValue(self._tracer, name)

    def scalar(self, name: str, *, trainable: bool = True, init: Any = None) -> Value:
        """Declares a number. `init`: a number, a name of `recell.nn.init`, or a function shape -> array.

        A function that draws takes (shape, generator), a numpy.random.Generator that follows torch.manual_seed.
        """
        return self._tracer.declare(name, (), trainable, init)

    def vector(self, name: str, *, rows: Any = None, trainable: bool = True, init: Any = None) -> Value:
        """Declares a vector of `rows`, a number or an expression of sizes; None: its use tells."""
        return self._tracer.declare(name, (rows,), trainable, init)

    def matrix(self, name: str, *, rows: Any = None, cols: Any = None, trainable: bool = True, init: Any = None) -> Value:
        """Declares a matrix (`rows`, `cols`), numbers or expressions of sizes; None: its use tells."""
        return self._tracer.declare(name, (rows, cols), trainable, init)


def find_tracer(arguments: tuple[Any, ...], name: str) -> Tracer | None:
    """The tracer of the first symbolic argument; None if all are plain numbers."""
    for argument in arguments:
        if isinstance(argument, Value):
            return argument.tracer
        if not isinstance(argument, Number):
            raise CellError(f"{name} takes values of the step or numbers; came {type(argument).__name__}; write {name}(value)")
    return None
