"""What depends on parameters alone: computed once a call, differentiated back to the leaves."""

from __future__ import annotations

import numpy as np

from recell import cell, concat, relu, split, tanh
from recell.compiler.backward import derive
from recell.compiler.build import Coins, Variant
from recell.compiler.parameters import ParameterValues
from recell.compiler.passes import prepare
from tests.contract.harness import agree, equals_central_differences, everything, make


@cell
def Made(p, x, h):
    gates = concat(p.b, p.vector("c", rows="hidden"))
    first, second = split(p.d * gates, 2)
    return tanh((p.matrix("W", cols="hidden") @ p.V.T) @ x + (p.U - p.U.T) @ h + relu(first) - second * p.scalar("k"))


def test_values_equal_numpy_by_hand() -> None:
    sizes = Made.resolve(4, 4)
    graph = prepare(Made.graph, Variant())
    rng = np.random.default_rng(0)
    leaves = {p.node: rng.normal(size=q.shape) for p, q in zip(graph.parameters, Made.parameters(sizes), strict=True)}
    wanted = [i for i, n in enumerate(graph.nodes) if not n.shape.is_row]
    values = ParameterValues(graph.nodes, sizes, wanted).evaluate(leaves, np.dtype("float64"), Coins(0, 0, 0))
    p = {info.name: leaves[info.node] for info in graph.parameters}
    gates = p["d"] * np.concatenate([p["b"], p["c"]])
    expected = {
        "matmul": p["W"] @ p["V"].T, "sub": p["U"] - p["U"].T, "relu": np.maximum(gates[:4], 0), "mul": gates,
    }  # fmt: skip
    for place, node in enumerate(graph.nodes):
        if node.op in expected and not node.shape.is_row:
            agree({node.op: values[place]}, {node.op: expected[node.op]})
            expected.pop(node.op)
    assert not expected


def test_gradients_reach_the_leaves(backend: str) -> None:
    case = make(Made, Made.resolve(4, 4), steps=3, rows=2)
    equals_central_differences(case, backend, directions=3)
    agree(everything(case, backend), everything(case, "reference"))


def test_a_parameter_whose_gradient_is_nothing_gets_zeros(backend: str) -> None:
    @cell
    def Stepped(p, x, h):
        return tanh(p.W @ x) * (p.v * h > 0) + 0.5 * h

    case = make(Stepped, Stepped.resolve(3, 4))
    found = everything(case, backend)
    assert found["d v"].shape == (4,) and not found["d v"].any()
    assert derive(prepare(Stepped.graph, Variant()), input_gradient=True).parameter_gradients[1] is None


def test_gradients_of_parts_are_put_together(backend: str) -> None:
    """Rows and columns of one matrix, parts of one vector, a part that nothing reads."""

    @cell
    def Parts(p, x, h):
        z = p.matrix("W", rows="3*hidden") @ concat(x, h) + p.vector("b", rows="3*hidden")
        a, b, _ = split(z, 3)
        return tanh(a) * relu(b) + 0.5 * h

    case = make(Parts, Parts.resolve(3, 5), steps=3, rows=2)
    found = everything(case, backend)
    agree(found, everything(case, "reference"))
    assert found["d W"].shape == (15, 8) and not found["d W"][10:].any() and found["d W"][:10].all()
    equals_central_differences(case, backend, directions=2)
