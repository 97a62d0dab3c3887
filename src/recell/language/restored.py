"""A cell whose initial states are parameters: what a learned initial state makes of a layer's cell."""

from __future__ import annotations

from dataclasses import replace

from recell.errors import CellError
from recell.graph.graph import PARAMETER, Builder, ParameterInfo, Shape, State
from recell.language.cell import Cell


def learn_initial(cell: Cell) -> Cell:
    """The cell with a vector `initial_h` for every state h but time, behind its own parameters; a reset restores these.

    They begin at the states' own initial numbers. What enters the first step is the caller's to give, as ever. Raises CellError
    where the cell has a parameter of such a name.
    """
    graph = cell.graph
    builder, parameters, states = Builder(graph.nodes), list(graph.parameters), list[State]()
    for state in graph.states:
        number = len(parameters)
        states.append(state if state.size is None else replace(state, restored=number))
        if state.size is not None:
            shape = Shape(PARAMETER, (state.size,))
            leaf = builder.leaf("parameter", (number,), shape)
            parameters.append(ParameterInfo(_free(cell, f"initial_{state.name}"), leaf, shape, init=state.initial))
    made = replace(graph, nodes=tuple(builder.nodes), states=tuple(states), parameters=tuple(parameters))
    return Cell(cell.name, made, cell.defaults)


def _free(cell: Cell, name: str) -> str:
    if name in (info.name for info in cell.graph.parameters):
        raise CellError(
            f"{cell.name} has a parameter {name!r}, which is a learned initial state's; "
            f"write another name in the cell, such as {name}_1"
        )
    return name
