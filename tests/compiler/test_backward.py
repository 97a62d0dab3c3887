"""The derived backward step: another step graph, verified, right against central differences where it stands alone."""

from __future__ import annotations

import pytest

from recell import cell, cells, maximum, tanh, where
from recell.compiler.backward import derive
from recell.compiler.build import Variant
from recell.compiler.passes import prepare
from recell.graph.graph import Builder
from recell.graph.ops import OPS
from recell.graph.verify import Rigid, infer
from tests.contract.descriptions import NAMES, cell_named
from tests.contract.harness import VARIANTS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_derived_node_has_the_shape_of_its_inputs(name: str, variant: str) -> None:
    derived = derive(prepare(cell_named(name).graph, VARIANTS[variant]), input_gradient=True)
    builder = Builder(derived.nodes, Rigid())
    for place, node in enumerate(derived.nodes):
        assert all(i < place for i in node.inputs)
        if OPS[node.op].kind != "leaf" and place >= derived.forward_count:
            assert infer(builder, node) == node.shape, (place, node)


@pytest.mark.parametrize("name", NAMES)
def test_adjoints_have_the_shape_of_what_they_are_adjoints_of(name: str) -> None:
    graph = prepare(cell_named(name).graph, Variant())
    derived = derive(graph, input_gradient=True)
    assert derived.nodes[: derived.forward_count] == graph.nodes
    for k, leaf, node in derived.state_adjoints:
        shape = graph.nodes[graph.states[k].before].shape
        assert derived.nodes[leaf].shape == derived.nodes[node].shape == shape
    assert derived.input_gradient is not None
    x = next(n for n in graph.nodes if n.op == "input")
    assert derived.nodes[derived.input_gradient].shape == x.shape
    for parameter, gradient in zip(graph.parameters, derived.parameter_gradients, strict=True):
        assert (gradient is not None) == parameter.trainable
        assert gradient is None or derived.nodes[gradient].shape == parameter.shape


def test_time_has_no_adjoint() -> None:
    derived = derive(prepare(cell_named("Clockwork").graph, Variant()), input_gradient=True)
    assert [k for k, _, _ in derived.state_adjoints] == [0]


def test_weight_gradients_of_one_value_are_outer_products_of_the_step() -> None:
    derived = derive(prepare(cells.LSTM.graph, Variant()), input_gradient=True)
    kinds = [derived.nodes[part].op for _, parts in derived.reductions for part in parts]
    assert sorted(kinds) == ["batch_sum"] * 4 + ["outer"] * 8


def test_the_texts_of_the_op_table_become_nodes() -> None:
    """tanh: g * (1 - y * y), with no node for what the texts' ones and zeros would make."""

    @cell
    def Plain(p, x, h):
        return tanh(p.W @ x + p.U @ h)

    derived = derive(prepare(Plain.graph, Variant()), input_gradient=False)
    added = [n.op for n in derived.nodes[derived.forward_count :]]
    assert sorted(n for n in added if n not in ("adjoint", "constant", "transpose")) == [
        "add",
        "mul",
        "mul",
        "outer",
        "outer",
        "product",
        "sub",
    ]


def test_conditions_carry_no_gradient() -> None:
    @cell
    def Gate(p, x, h):
        return where(p.v * h > 0, maximum(h, p.b * x), h * 0.5)

    derived = derive(prepare(Gate.graph, Variant()), input_gradient=True)
    v = next(i for i, p in enumerate(Gate.graph.parameters) if p.name == "v")
    assert derived.parameter_gradients[v] is None
