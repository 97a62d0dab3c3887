"""A cell whose output carries its input past it: what a residual or highway connection around a layer makes of the layer's cell.

A layer in one direction and the connection around it are one cell again, so that whatever runs a cell runs both. The rule is
that of `recell.nn.between`, which acts on whole sequences and on merged directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recell.errors import CellError
from recell.graph.graph import PARAMETER, ROW, Builder, Graph, Node, ParameterInfo, Shape
from recell.graph.size import Size
from recell.language.cell import Cell

CONNECTIONS = ("residual", "highway")


def carry_input(cell: Cell, sizes: Mapping[str, int], connection: str) -> Cell:
    """The cell of these very sizes with the output y + x ("residual") or x + t * (y - x) ("highway").

    t = sigmoid(W_highway x + b_highway), two parameters behind the cell's own. Its sizes are numbers, as x may be as wide as y
    by its number alone. Raises CellError where it is not, or where the cell has a parameter of these names.
    """
    graph = _numbered(cell.graph, sizes)
    builder = Builder(graph.nodes)
    width = Size.number(cell.output_size(sizes))
    if sizes["input"] != cell.output_size(sizes):
        raise CellError(f"a {connection} connection adds a layer's input to its output; came {cell.name} with the input "
                        f"{sizes['input']} and the output {width}; write layers of one size")
    x = builder.leaf("input", (), Shape(ROW, (width,)))
    y = graph.output[0] if len(graph.output) == 1 else builder.apply("concat", graph.output)
    added: tuple[ParameterInfo, ...] = ()
    if connection == "residual":
        out = builder.apply("add", (y, x))
    else:
        added = _gate_parameters(cell, builder, width)
        weight, bias = (info.node for info in added)
        gate = builder.apply("sigmoid", (builder.apply("add", (builder.apply("product", (weight, x)), bias)),))
        out = builder.apply("add", (x, builder.apply("mul", (gate, builder.apply("sub", (y, x))))))
    made = replace(graph, nodes=tuple(builder.nodes), parameters=(*graph.parameters, *added), output=(out,), output_states=(-1,))
    # It is asked with the layer's sizes, as any cell is: those that have become numbers are its own.
    return Cell(cell.name, made, {name: number for name, number in sizes.items() if name not in ("input", "hidden")})


def _gate_parameters(cell: Cell, builder: Builder, width: Size) -> tuple[ParameterInfo, ...]:
    """Leaves for the gate's matrix and bias."""
    known = [info.name for info in cell.graph.parameters]
    made: list[ParameterInfo] = []
    for name, dims in (("W_highway", (width, width)), ("b_highway", (width,))):
        if name in known:
            raise CellError(f"{cell.name} has a parameter {name!r}, which is a highway's; write another name in the cell")
        shape = Shape(PARAMETER, dims)
        made.append(ParameterInfo(name, builder.leaf("parameter", (len(known) + len(made),), shape), shape))
    return tuple(made)


def _numbered(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with a number in place of every size."""

    def number(size: Size) -> Size:
        return Size.number(size.evaluate(sizes, least=0))

    def shape(old: Shape) -> Shape:
        return Shape(old.space, tuple(number(size) for size in old.dims))

    def attribute(value: Any) -> Any:
        return number(value) if isinstance(value, Size) else value

    nodes = tuple(Node(n.op, n.inputs, tuple(map(attribute, n.attributes)), shape(n.shape)) for n in graph.nodes)
    states = tuple(replace(state, size=state.size and number(state.size)) for state in graph.states)
    parameters = tuple(replace(info, shape=shape(info.shape)) for info in graph.parameters)
    return replace(graph, nodes=nodes, states=states, parameters=parameters, forced_input=Size.number(sizes["input"]))
