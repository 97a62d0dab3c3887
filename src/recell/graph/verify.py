"""The rules that every graph obeys; run after every pass and on every graph that was loaded."""

from __future__ import annotations

from recell.errors import CellError, RecellError
from recell.graph.graph import Builder, Graph, Node, Shape, ShapeClash
from recell.graph.ops import OPS
from recell.graph.size import Size


class Rigid:
    """Sizes in a finished graph are equal or not: nothing is settled any more."""

    def equate(self, a: Size, b: Size) -> bool:
        return a == b

    def reduce(self, size: Size) -> Size:
        return size


def verify(graph: Graph, error: type[RecellError]) -> None:
    """Raises `error` with one line at the first rule that does not hold."""
    try:
        _check_nodes(graph)
        _check_states(graph)
        _check_parameters(graph)
    except (_BrokenRule, ShapeClash, CellError) as broken:
        raise error(f"the graph of the cell does not verify: {broken}; came a damaged or foreign graph; "
                    "save the model again from its definition") from None


class _BrokenRule(Exception):
    pass


def require(condition: bool, text: str) -> None:
    if not condition:
        raise _BrokenRule(text)


def _check_nodes(graph: Graph) -> None:
    for place, node in enumerate(graph.nodes):
        require(node.op in OPS, f"node {place} has the unknown op {node.op!r}")
        require(all(0 <= i < place for i in node.inputs), f"node {place} reads a node that does not come before it")
        if node.op not in ("concat",):
            require(len(node.inputs) == OPS[node.op].arity, f"node {place} ({node.op}) has {len(node.inputs)} inputs")
    builder = Builder(graph.nodes, Rigid())  # pyright: ignore[reportArgumentType]
    for place, node in enumerate(graph.nodes):
        if node.op == "coin":
            _check_coin(builder, place, node)
        elif OPS[node.op].kind != "leaf":
            expected = infer(builder, node)
            require(expected == node.shape, f"node {place} ({node.op}) is a {node.shape} but its inputs make a {expected}")


def _check_coin(builder: Builder, place: int, node: Node) -> None:
    require(len(node.attributes) == 3, f"node {place} (coin) has {len(node.attributes)} attributes")
    rate, per, number = node.attributes
    require(isinstance(rate, float) and 0 <= rate <= 1, f"node {place} (coin) has the rate {rate!r}")
    require(isinstance(number, int) and number >= 0, f"node {place} (coin) has the op number {number!r}")
    require(per in ("sequence", "step"), f"node {place} (coin) is drawn per {per!r}")
    require(node.shape == builder.shape(node.inputs[0]), f"node {place} (coin) is not of the shape of its input")
    require(node.shape.is_row or per == "sequence", f"node {place} (coin) draws a parameter's coins at every step")


def infer(builder: Builder, node: Node) -> Shape:
    if node.op == "product":
        matrix, vector = (builder.shape(i) for i in node.inputs)
        require(matrix.is_matrix and not matrix.is_row, "left of @ stands no parameter matrix")
        require(len(vector.dims) == 1 and vector.is_row, "right of @ stands no vector of the row")
    return builder._shape_of(node.op, node.inputs, node.attributes)  # pyright: ignore[reportPrivateUsage]


def _check_states(graph: Graph) -> None:
    count = len(graph.nodes)
    require(bool(graph.states), "it has no state")
    require(len({s.name for s in graph.states}) == len(graph.states), "two states have one name")
    for index, state in enumerate(graph.states):
        require(0 <= state.before < count and 0 <= state.after < count, f"state {index} is not in the graph")
        before, after = graph.nodes[state.before], graph.nodes[state.after]
        require(before.op == "state" and before.attributes == (index,), f"state {index} has no leaf of its own")
        require(before.shape == after.shape and after.shape.is_row, f"state {index} changes its shape in a step")
        dims = () if state.size is None else (state.size,)
        require(before.shape.dims == dims, f"state {index} is not of its size")
    for node in graph.nodes:
        if node.op == "state":
            require(0 <= node.attributes[0] < len(graph.states), "a state leaf has no state")
    require(bool(graph.output) and len(graph.output) == len(graph.output_states), "it has no output")
    for node, state in zip(graph.output, graph.output_states, strict=True):
        require(0 <= node < count and graph.nodes[node].shape.is_row, "an output is not a value of the row")
        require(-1 <= state < len(graph.states), "an output names no state")
        require(state < 0 or graph.states[state].after == node, "an output is not its state's new value")


def _check_parameters(graph: Graph) -> None:
    leaves = [n for n in graph.nodes if n.op == "parameter"]
    require(len(leaves) == len(graph.parameters), "the parameters are not those of the graph")
    names = [p.name for p in graph.parameters]
    require(len(set(names)) == len(names), "two parameters have one name")
    require(all(n.isidentifier() for n in [*names, *(s.name for s in graph.states), *(n for n, _ in graph.names)]),
            "a name is not a Python name")
    for index, parameter in enumerate(graph.parameters):
        require(0 <= parameter.node < len(graph.nodes), f"parameter {index} is not in the graph")
        node = graph.nodes[parameter.node]
        require(node.op == "parameter" and node.attributes == (index,), f"parameter {index} has no leaf of its own")
        require(node.shape == parameter.shape and not node.shape.is_row, f"parameter {index} is not of its shape")
