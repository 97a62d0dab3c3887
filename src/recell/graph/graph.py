"""Frozen nodes, the graph of one step, and the builder that makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from recell.errors import CellError
from recell.graph.ops import OPS
from recell.graph.size import Size, Unifier

ROW, PARAMETER = "row", "parameter"  # spaces: one value a row of the batch; one value for all rows


@dataclass(frozen=True)
class Shape:
    """`space` says per row or for all rows; `dims` is () for a number, (size,) or (rows, columns)."""

    space: str
    dims: tuple[Size, ...] = ()

    @property
    def is_row(self) -> bool:
        """Whether each row of the batch has a value of its own; parameters and numbers have one for all."""
        return self.space == ROW

    @property
    def is_matrix(self) -> bool:
        """Whether it has two sizes."""
        return len(self.dims) == 2

    def __str__(self) -> str:
        what = ("number", "vector", "matrix")[len(self.dims)]
        sizes = " x ".join(map(str, self.dims))
        return f"{what} of {sizes}" if sizes else what


SCALAR = Shape(PARAMETER)
ROW_SCALAR = Shape(ROW)


@dataclass(frozen=True)
class Node:
    """One value of a step. `inputs` are positions in the graph's node list, all smaller than its own."""

    op: str
    inputs: tuple[int, ...]
    attributes: tuple[Any, ...]
    shape: Shape


@dataclass(frozen=True)
class State:
    """A state of a cell; `size` None is one number per row (time)."""

    name: str
    size: Size | None
    initial: float
    before: int = -1  # node: its value before the step
    after: int = -1  # node: its value after the step
    restored: int | None = None  # number of the parameter that a reset restores in place of `initial`


@dataclass(frozen=True)
class ParameterInfo:
    """A leaf parameter; `init` is no part of the identity."""

    name: str
    node: int
    shape: Shape
    trainable: bool = True
    init: Any = field(default=None, compare=False)


@dataclass(frozen=True, repr=False)
class Graph:
    """One step of a cell: x and the states before -> the states after and the output."""

    nodes: tuple[Node, ...]
    states: tuple[State, ...]
    parameters: tuple[ParameterInfo, ...]
    output: tuple[int, ...]  # nodes, side by side
    output_states: tuple[int, ...]  # per output: the index of the state whose new value it is, or -1 for a local
    names: tuple[tuple[str, int], ...] = ()  # author's names of values, in the order they were bound
    forced_input: Size | None = None
    # Not cached properties: before Python 3.12 these take a lock, which torch.compile cannot see through.
    uses_elapsed: bool = field(init=False, compare=False, repr=False)
    has_coins: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        ops = {node.op for node in self.nodes}
        object.__setattr__(self, "uses_elapsed", "elapsed" in ops)
        object.__setattr__(self, "has_coins", "coin" in ops)

    def __repr__(self) -> str:
        return f"Graph of {len(self.nodes)} nodes"

    @property
    def key(self) -> str:
        """A hash of what the graph computes: names are left out, positions stay."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def identity(self) -> list[Any]:
        """What the graph computes as plain lists: what `key` is the hash of. Names and initial parameters are left out."""
        nodes = [[n.op, list(n.inputs), [str(a) for a in n.attributes], n.shape.space, [str(d) for d in n.shape.dims]]
                 for n in self.nodes]
        states = [[str(s.size), s.initial, s.before, s.after, *restored(s)] for s in self.states]
        parameters = [[p.node, p.trainable] for p in self.parameters]
        return [nodes, states, parameters, list(self.output), list(self.output_states), str(self.forced_input)]


def restored(state: State) -> list[int]:
    """The parameter that a reset restores, as a list: nothing where it is the state's own number."""
    return [] if state.restored is None else [state.restored]


class ShapeClash(Exception):
    """Two sizes that can't be equal; the language adds the place and turns it into a CellError."""


class Builder:
    """Appends nodes with shape inference; equal nodes are one."""

    def __init__(self, nodes: Iterable[Node] = (), unifier: Unifier | None = None, *, simplify: bool = False) -> None:
        self.nodes: list[Node] = list(nodes)
        self.unifier = unifier or Unifier()
        self.simplify = simplify
        self._index = {(n.op, n.inputs, n.attributes): i for i, n in enumerate(self.nodes)}

    def shape(self, node: int) -> Shape:
        """The shape of a node's value."""
        return self.nodes[node].shape

    def leaf(self, name: str, attributes: tuple[Any, ...], shape: Shape) -> int:
        """The node of a leaf, made at its first use."""
        return self._append(name, (), attributes, shape)

    def constant(self, value: float) -> int:
        """The node of a number."""
        return self.leaf("constant", (float(value),), SCALAR)

    def value_of(self, node: int) -> float | None:
        """The number of a constant node, else None."""
        n = self.nodes[node]
        return n.attributes[0] if n.op == "constant" else None

    def apply(self, name: str, inputs: tuple[int, ...], attributes: tuple[Any, ...] = ()) -> int:
        """The node of an op on nodes, its shape inferred; ShapeClash where sizes contradict, CellError where kinds do not fit."""
        row = OPS[name]
        values = [self.value_of(i) for i in inputs]
        if row.kind == "point" and all(v is not None for v in values):
            return self.constant(float(row.numpy(*values)))  # pyright: ignore[reportOptionalCall]
        if self.simplify:
            simpler = _simplified(self, name, inputs, values)
            if simpler is not None:
                return simpler
        return self._append(name, inputs, attributes, self._shape_of(name, inputs, attributes))

    def _append(self, name: str, inputs: tuple[int, ...], attributes: tuple[Any, ...], shape: Shape) -> int:
        key = (name, inputs, attributes)
        if key not in self._index:
            self._index[key] = len(self.nodes)
            self.nodes.append(Node(name, inputs, attributes, shape))
        return self._index[key]

    def equate(self, a: Size, b: Size) -> None:
        """Makes two sizes equal; ShapeClash where they cannot be."""
        if not self.unifier.equate(a, b):
            raise ShapeClash(f"{self.unifier.reduce(a)} and {self.unifier.reduce(b)}")

    def _shape_of(self, name: str, inputs: tuple[int, ...], attributes: tuple[Any, ...]) -> Shape:
        shapes = [self.shape(i) for i in inputs]
        kind = OPS[name].kind
        if kind == "point":
            return self._pointwise(name, shapes)
        if name == "softmax":
            return shapes[0]
        if kind == "row":
            return Shape(shapes[0].space)
        return _SHAPE_RULES[name](self, shapes, attributes)

    def _pointwise(self, name: str, shapes: list[Shape]) -> Shape:
        space = ROW if any(s.is_row for s in shapes) else PARAMETER
        deepest = max(shapes, key=lambda s: len(s.dims))
        for s in shapes:
            if s.dims and len(s.dims) != len(deepest.dims):
                raise CellError(
                    f"{name} of a matrix and a vector elementwise; a product needs parentheses: `r * p.U @ h` is "
                    "`(r * p.U) @ h`; write `r * (p.U @ h)`"
                )
            for own, other in zip(s.dims, deepest.dims, strict=False):
                self.equate(own, other)
        if deepest.is_matrix and space == ROW:
            raise CellError(f"{name} of a matrix and a value of the row; write `r * (p.U @ h)`, not `(r * p.U) @ h`")
        return Shape(space, deepest.dims)


def _simplified(b: Builder, name: str, inputs: tuple[int, ...], values: list[float | None]) -> int | None:
    """Neutral elements. Used on derived graphs only: an author's equations stay as written."""
    match name, values:
        case ("add", [0.0, None]):
            return inputs[1]
        case ("add" | "sub", [None, 0.0]) | ("mul" | "div", [None, 1.0]):
            return inputs[0]
        case ("mul", [1.0, None]):
            return inputs[1]
        case ("mul", [0.0, None]) | ("mul", [None, 0.0]) | ("div", [0.0, None]) | ("neg", [0.0]):
            return b.constant(0.0)
        case ("sub", [0.0, None]):
            return b.apply("neg", (inputs[1],))
        case _:
            pass
    if name == "neg" and b.nodes[inputs[0]].op == "neg":
        return b.nodes[inputs[0]].inputs[0]
    if name == "add" and b.nodes[inputs[1]].op == "neg":
        return b.apply("sub", (inputs[0], b.nodes[inputs[1]].inputs[0]))
    if name == "transpose" and b.nodes[inputs[0]].op == "transpose":
        return b.nodes[inputs[0]].inputs[0]
    return None


def _product_shape(b: Builder, shapes: list[Shape], _: tuple[Any, ...]) -> Shape:
    matrix, vector = shapes
    b.equate(matrix.dims[1], vector.dims[0])
    return Shape(ROW, (matrix.dims[0],))


def _matmul_shape(b: Builder, shapes: list[Shape], _: tuple[Any, ...]) -> Shape:
    left, right = shapes
    b.equate(left.dims[1], right.dims[0])
    return Shape(PARAMETER, (left.dims[0], *right.dims[1:]))


def _concat_shape(_: Builder, shapes: list[Shape], __: tuple[Any, ...]) -> Shape:
    total = Size()
    for s in shapes:
        total = total + (s.dims[0] if s.dims else Size.number(1))
    return Shape(ROW if any(s.is_row for s in shapes) else PARAMETER, (total,))


def _pad_shape(_: Builder, shapes: list[Shape], attributes: tuple[Any, ...]) -> Shape:
    inner = shapes[0].dims[0] if shapes[0].dims else Size.number(1)
    return Shape(shapes[0].space, (attributes[0] + inner + attributes[1],))


def _columns(rule: Callable[[Size, tuple[Any, ...]], Size], axis: int) -> Callable[..., Shape]:
    def shape(_: Builder, shapes: list[Shape], attributes: tuple[Any, ...]) -> Shape:
        dims = list(shapes[0].dims)
        dims[axis] = rule(dims[axis], attributes)
        return Shape(PARAMETER, tuple(dims))

    return shape


def _part(_: Size, attributes: tuple[Any, ...]) -> Size:
    return attributes[1]


def _padded(size: Size, attributes: tuple[Any, ...]) -> Size:
    return attributes[0] + size + attributes[1]


_SHAPE_RULES: dict[str, Callable[[Builder, list[Shape], tuple[Any, ...]], Shape]] = {
    "product": _product_shape,
    "matmul": _matmul_shape,
    "transpose": lambda b, s, a: Shape(PARAMETER, s[0].dims[::-1]),
    "concat": _concat_shape,
    "slice": lambda b, s, a: Shape(s[0].space, (a[1],)),
    "pad": _pad_shape,
    "splat": lambda b, s, a: Shape(s[0].space, (a[0],)),
    "outer_parameters": lambda b, s, a: Shape(PARAMETER, (s[0].dims[0], s[1].dims[0])),
    "rows": _columns(_part, 0),
    "columns": _columns(_part, 1),
    "pad_rows": _columns(_padded, 0),
    "pad_columns": _columns(_padded, 1),
    "outer": lambda b, s, a: Shape(PARAMETER, (s[0].dims[0], s[1].dims[0])),
    "batch_sum": lambda b, s, a: Shape(PARAMETER, s[0].dims),
    "coin": lambda b, s, a: s[0],
}
