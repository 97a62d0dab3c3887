"""The rules that every graph obeys; run after every pass and on every graph that was loaded."""

from __future__ import annotations

import math

from recell.errors import CellError, RecellError
from recell.graph.graph import PARAMETER, ROW, ROW_SCALAR, SCALAR, Builder, Graph, Node, Shape, ShapeClash
from recell.graph.ops import OPS
from recell.graph.size import Size

# What passes and the derivation make; no author writes it, so no file may hold it.
PREPARED = frozenset({"mask", "reset", "rows", "columns", "splat", "outer_parameters"})
DERIVED = frozenset({"adjoint", "extent", "pad", "pad_rows", "pad_columns", "outer", "batch_sum"})

# op -> the types of its attributes; an op that is not here has none
ATTRIBUTES: dict[str, tuple[type, ...]] = {
    "state": (int,), "parameter": (int,), "constant": (float,), "coin": (float, str, int),
    "slice": (Size, Size), "rows": (Size, Size), "columns": (Size, Size), "splat": (Size,),
}  # fmt: skip


class Rigid:
    """Sizes in a finished graph are equal or not: nothing is settled any more."""

    def equate(self, a: Size, b: Size) -> bool:
        """Whether two sizes are the same expression."""
        return a == b

    def reduce(self, size: Size) -> Size:
        """The size itself."""
        return size


def verify(graph: Graph, error: type[RecellError], *, prepared: bool = False) -> None:
    """Raises `error` with one line at the first rule that does not hold. `prepared`: passes have been over it."""
    try:
        _check_nodes(graph, DERIVED if prepared else DERIVED | PREPARED)
        _check_leaves(graph)
        _check_states(graph)
        _check_output(graph)
        _check_parameters(graph)
        _check_names(graph)
    except (_BrokenRule, ShapeClash, CellError) as broken:
        raise error(f"the graph of the cell does not verify: {broken}; came a damaged or foreign graph; "
                    "save the model again from its definition") from None


class _BrokenRule(Exception):
    pass


def require(condition: bool, text: str) -> None:
    """Raises a broken rule of this text unless the condition holds."""
    if not condition:
        raise _BrokenRule(text)


def _check_nodes(graph: Graph, forbidden: frozenset[str]) -> None:
    builder = Builder(graph.nodes, Rigid())  # pyright: ignore[reportArgumentType]
    for place, node in enumerate(graph.nodes):
        what = f"node {place} ({node.op})"
        require(node.op in OPS and node.op not in forbidden, f"node {place} has the unknown op {node.op!r}")
        require(all(0 <= i < place for i in node.inputs), f"node {place} reads a node that does not come before it")
        if node.op != "concat":
            require(len(node.inputs) == OPS[node.op].arity, f"{what} has {len(node.inputs)} inputs")
        _check_attributes(what, node)
        if node.op == "coin":
            _check_coin(builder, what, node)
        elif OPS[node.op].kind != "leaf":
            expected = infer(builder, node)
            require(expected == node.shape, f"{what} is a {node.shape} but its inputs make a {expected}")


def _check_attributes(what: str, node: Node) -> None:
    types = ATTRIBUTES.get(node.op, ())
    right = len(types) == len(node.attributes) and all(type(a) is t for a, t in zip(node.attributes, types, strict=True))
    require(right, f"{what} has the attributes {list(map(str, node.attributes))}")


def _check_coin(builder: Builder, what: str, node: Node) -> None:
    rate, per, number = node.attributes
    require(0 <= rate <= 1, f"{what} has the rate {rate!r}")
    require(0 <= number < 2**31, f"{what} has the op number {number!r}")  # a key of 32 bits in the generator
    require(per in ("sequence", "step"), f"{what} is drawn per {per!r}")
    require(node.shape == builder.shape(node.inputs[0]), f"{what} is not of the shape of its input")
    require(node.shape.is_row or per == "sequence", f"{what} draws a parameter's coins at every step")


def infer(builder: Builder, node: Node) -> Shape:
    """The shape that a node's inputs make; raises where they are of the wrong kind."""
    shapes = [builder.shape(i) for i in node.inputs]
    match OPS[node.op].kind, node.op:
        case "product", _:
            matrix, vector = shapes
            require(matrix.is_matrix and not matrix.is_row, "left of @ stands no parameter matrix")
            require(len(vector.dims) == 1 and vector.is_row, "right of @ stands no vector of the row")
        case "matrix", _:
            require(all(s.dims and not s.is_row for s in shapes), f"{node.op} of what is no parameter")
            require(shapes[0].is_matrix or node.op == "outer_parameters", f"{node.op} of what is no matrix")
        case "row", _:
            require(len(shapes[0].dims) == 1, f"{node.op} of what is no vector")
        case "layout", "concat":
            require(len(shapes) > 1 and not any(s.is_matrix for s in shapes), "concat of what are no vectors")
        case "layout", "slice":
            require(len(shapes[0].dims) == 1, "slice of what is no vector")
            known = set(shapes[0].dims[0].symbols)
            require(all(known >= set(a.symbols) for a in node.attributes), "slice by a size that its vector does not have")
        case _:
            pass
    return builder._shape_of(node.op, node.inputs, node.attributes)  # pyright: ignore[reportPrivateUsage]


def _check_leaves(graph: Graph) -> None:
    width = Size.symbol("input") if graph.forced_input is None else graph.forced_input
    shapes = {"input": Shape(ROW, (width,)), "elapsed": ROW_SCALAR, "mask": ROW_SCALAR, "reset": ROW_SCALAR, "constant": SCALAR}
    leaves = [(n.op, n.attributes) for n in graph.nodes if OPS[n.op].kind == "leaf" and n.op not in ("constant", "coin")]
    require(len(leaves) == len(set(leaves)), "a leaf stands in it twice")
    for place, node in enumerate(graph.nodes):
        if node.op in shapes:
            require(node.shape == shapes[node.op], f"node {place} ({node.op}) is a {node.shape}, not a {shapes[node.op]}")


def _check_states(graph: Graph) -> None:
    count = len(graph.nodes)
    require(bool(graph.states), "it has no state")
    require(len({s.name for s in graph.states}) == len(graph.states), "two states have one name")
    for index, state in enumerate(graph.states):
        require(0 <= state.before < count and 0 <= state.after < count, f"state {index} is not in the graph")
        before, after = graph.nodes[state.before], graph.nodes[state.after]
        require(before.op == "state" and before.attributes == (index,), f"state {index} has no leaf of its own")
        require(before.shape == after.shape and after.shape.is_row, f"state {index} changes its shape in a step")
        require(math.isfinite(state.initial), f"state {index} begins at {state.initial}")
        require((state.size is None) == (state.name == "t"), f"state {index} has no size, or time has one")
        require(state.size is not None or index == len(graph.states) - 1, "time is not the last state")
        dims = () if state.size is None else (state.size,)
        require(before.shape.dims == dims, f"state {index} is not of its size")
        if state.restored is not None:
            require(0 <= state.restored < len(graph.parameters), f"state {index} restores no parameter")
            shape = graph.parameters[state.restored].shape
            require(bool(dims) and shape == Shape(PARAMETER, dims), f"state {index} restores a {shape}")
    for node in graph.nodes:
        if node.op == "state":
            require(0 <= node.attributes[0] < len(graph.states), "a state leaf has no state")


def _check_output(graph: Graph) -> None:
    count = len(graph.nodes)
    require(bool(graph.output) and len(graph.output) == len(graph.output_states), "it has no output")
    for node, state in zip(graph.output, graph.output_states, strict=True):
        require(0 <= node < count and graph.nodes[node].shape.is_row, "an output is not a value of the row")
        require(-1 <= state < len(graph.states), "an output names no state")
        require(state < 0 or graph.states[state].after == node, "an output is not its state's new value")


def _check_parameters(graph: Graph) -> None:
    leaves = [n for n in graph.nodes if n.op == "parameter"]
    require(len(leaves) == len(graph.parameters), "the parameters are not those of the graph")
    require(len({p.name for p in graph.parameters}) == len(graph.parameters), "two parameters have one name")
    for index, parameter in enumerate(graph.parameters):
        require(0 <= parameter.node < len(graph.nodes), f"parameter {index} is not in the graph")
        node = graph.nodes[parameter.node]
        require(node.op == "parameter" and node.attributes == (index,), f"parameter {index} has no leaf of its own")
        require(node.shape == parameter.shape and not node.shape.is_row, f"parameter {index} is not of its shape")


def _check_names(graph: Graph) -> None:
    names = [*(p.name for p in graph.parameters), *(s.name for s in graph.states), *(name for name, _ in graph.names)]
    require(all(name.isidentifier() for name in names), "a name is not a Python name")
    require(all(0 <= node < len(graph.nodes) for _, node in graph.names), "it has the name of no value")
