"""A cell that is handed `W @ x` in place of x: for inputs whose products are known before the step, such as tokens.

Where x is one of V symbols, `W @ x` is one of V vectors. A table of them, computed once, takes the place of a product at every
step: the step reads the sums of all its input products side by side and slices them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recell.graph.graph import ROW, Builder, Graph, Node, Shape
from recell.graph.rewrite import rewrite, tidy
from recell.graph.size import Size
from recell.language.cell import Cell


@dataclass(frozen=True)
class ProjectedInput:
    """`cell` reads the products of x by the parameters `products`, side by side; `kept` are those it still has. Both number
    the parameters of the cell that it came from, `kept` in the order of `cell`'s own."""

    cell: Cell
    products: tuple[int, ...]
    kept: tuple[int, ...]


def project_input(cell: Cell) -> ProjectedInput | None:
    """The cell that reads products of x; None where something else reads x, or where a matrix of x is read twice."""
    graph = cell.graph
    products = _products_of_input(graph)
    if not products or graph.forced_input is not None:
        return None
    matrices = [graph.nodes[node].inputs[0] for node in products]
    sizes = [graph.nodes[node].shape.dims[0] for node in products]
    starts = [sum(sizes[:i], Size.number(0)) for i in range(len(sizes))]
    total = sum(sizes, Size.number(0))
    place = {node: (start, size) for node, start, size in zip(products, starts, sizes, strict=True)}
    numbered = iter(range(len(graph.nodes)))

    def rule(builder: Builder, node: Node, inputs: tuple[int, ...]) -> int | None:
        number = next(numbered)
        if node.op == "input":
            return builder.leaf("input", node.attributes, Shape(ROW, (total,)))
        return builder.apply("slice", (inputs[1],), place[number]) if number in place else None

    made = rewrite(graph, rule)
    gone = {graph.nodes[m].attributes[0] for m in matrices}
    left = tuple(p for number, p in enumerate(made.parameters) if number not in gone)
    made = tidy(replace(made, parameters=left, forced_input=total))
    numbers = {info.name: number for number, info in enumerate(graph.parameters)}
    return ProjectedInput(
        Cell(cell.name, made, cell.defaults),
        tuple(graph.nodes[m].attributes[0] for m in matrices),
        tuple(numbers[info.name] for info in made.parameters),
    )


def _products_of_input(graph: Graph) -> list[int]:
    """The products `matrix @ x` if they are all that reads x and their matrices, and no other size is the input's; else []."""
    inputs = {i for i, node in enumerate(graph.nodes) if node.op == "input"}
    products = [i for i, node in enumerate(graph.nodes) if node.op == "product" and node.inputs[1] in inputs]
    matrices = [graph.nodes[i].inputs[0] for i in products]
    read = [i for node in graph.nodes for i in node.inputs]
    ends = {*graph.output, *(s.after for s in graph.states)}
    own = {*inputs, *matrices}
    plain = all(graph.nodes[m].op == "parameter" for m in matrices)
    once = len(set(matrices)) == len(matrices) and all(read.count(m) == 1 for m in matrices)
    alone = all(read.count(i) == len(products) and i not in ends for i in inputs)
    elsewhere = any("input" in size.symbols for i, node in enumerate(graph.nodes) if i not in own for size in node.shape.dims)
    return products if plain and once and alone and not elsewhere else []
