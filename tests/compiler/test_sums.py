"""Sums are put in one order, and only sums: products first, then parameters, then the rest."""

from __future__ import annotations

from recell import cell, concat, sigmoid, split, tanh
from recell.compiler.build import Variant
from recell.compiler.passes import prepare
from recell.compiler.planner import make_plan
from recell.compiler.sums import gather_graph
from recell.graph.graph import Graph
from tests.contract.harness import agree, everything, make, sizes_of


def gathered(definition) -> Graph:
    return gather_graph(prepare(definition.graph, Variant()))


def sum_of(graph: Graph, node: int) -> list[str]:
    n = graph.nodes[node]
    return [*sum_of(graph, n.inputs[0]), *sum_of(graph, n.inputs[1])] if n.op == "add" else [n.op]


@cell
def Mixed(p, x, h):
    return tanh(p.b + (h * 0.5 + p.W @ x) + (p.c + p.U @ h))


def test_products_come_first() -> None:
    graph = gathered(Mixed)
    root = next(n.inputs[0] for n in graph.nodes if n.op == "tanh")
    assert sum_of(graph, root) == ["product", "product", "parameter", "parameter", "mul"]


def test_the_value_is_the_same() -> None:
    case = make(Mixed, Mixed.resolve(3, 5))
    for backend in ("cpu", "eager"):
        agree(everything(case, backend), everything(case, "reference"))


def test_a_sum_that_somebody_else_reads_stays() -> None:
    @cell
    def Shared(p, x, h):
        s = p.W @ x + h
        return tanh(s + p.U @ h + p.b) * sigmoid(s)

    graph = gathered(Shared)
    gate = next(n.inputs[0] for n in graph.nodes if n.op == "sigmoid")
    assert sum_of(graph, gate) == ["product", "state"]


def test_sums_without_a_product_stay_as_written() -> None:
    @cell
    def Scan(p, x, h):
        return tanh(x + (h + (p.b + p.c)))

    graph, before = gathered(Scan), prepare(Scan.graph, Variant())
    assert [n.op for n in graph.nodes] == [n.op for n in before.nodes]


@cell
def Halves(p, x, h):
    """Parts of a state, one of them read twice, and the whole besides."""
    a, b = split(h, 2)
    c = tanh(p.W @ x + p.U @ a + p.V @ b + p.M @ h)
    return concat(a * sigmoid(b), b + c)


@cell
def OneHalf(p, x, h):
    """A part that nobody reads leaves a gap."""
    a, _ = split(h, 2)
    return tanh(p.W @ x + p.U @ a)


def ops_of(definition) -> list[str]:
    step = make_plan(definition, sizes_of(definition, 8), Variant(training=True)).backward
    return [step.nodes[n].op for phase in step.phases for stage in phase.stages for n in stage.points]


def test_gradients_of_parts_are_put_side_by_side() -> None:
    assert "pad" not in ops_of(Halves) and "concat" in ops_of(Halves)
    assert "pad" in ops_of(OneHalf)


def test_the_gradients_are_the_same() -> None:
    for definition in (Halves, OneHalf):
        case = make(definition, sizes_of(definition, 10), rows=9)
        agree(everything(case, "cpu"), everything(case, "reference"))
