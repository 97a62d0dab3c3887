"""Rewrites keep the meaning: the reference, which sees none of them, is the judge in tests/contract; here, their form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import cell, coin, concat, dropout, mean, sigmoid, split, sum, tanh  # noqa: A004
from recell.compiler.build import Variant
from recell.compiler.passes import prepare, push_layout, push_scales, push_signs, with_mask, with_reset
from recell.errors import CellError
from recell.graph.verify import verify
from recell.language.cell import Cell
from tests.contract.descriptions import NAMES, cell_named
from tests.contract.harness import VARIANTS, agree, everything, make, turned


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_prepared_graph_verifies(name: str, variant: str) -> None:
    prepared = prepare(cell_named(name).graph, VARIANTS[variant])
    verify(prepared, CellError, prepared=True)
    ops = {n.op for n in prepared.nodes}
    assert ("mask" in ops) == VARIANTS[variant].mask and ("reset" in ops) == VARIANTS[variant].reset
    assert "coin" not in ops or VARIANTS[variant].training


def test_a_reset_restores_the_initial_number() -> None:
    graph = with_reset(cell_named("SLSTM").graph)
    fresh = {
        graph.nodes[n.inputs[2]].attributes[0]: graph.nodes[n.inputs[1]].attributes[0]
        for n in graph.nodes
        if n.op == "where" and graph.nodes[n.inputs[0]].op == "reset"
    }
    assert fresh == {0: 0.0, 1: 0.0, 2: 0.0, 3: -1e4}


def test_a_mask_holds_states_and_silences_locals() -> None:
    graph = with_mask(cell_named("QRNN").graph)
    for state in graph.states:
        held = graph.nodes[state.after]
        assert held.op == "where" and graph.nodes[held.inputs[0]].op == "mask" and held.inputs[2] == state.before
    output = graph.nodes[graph.output[0]]
    assert output.op == "where" and graph.nodes[output.inputs[2]].attributes == (0.0,)


def test_concat_goes_into_columns() -> None:
    @cell
    def Joined(p, x, h):
        return tanh(p.W @ concat(x, h) + p.b)

    ops = [n.op for n in push_layout(Joined.graph).nodes]
    assert "concat" not in ops and ops.count("columns") == ops.count("product") == 2


def test_signs_go_into_matrices_where_nobody_else_reads_the_product() -> None:
    @cell
    def Signs(p, x, h):
        shared = p.V @ x
        return tanh(p.W @ x - p.U @ h + -(p.A @ x) + (p.b - shared) * shared)

    nodes = push_signs(Signs.graph).nodes
    assert [nodes[n.inputs[0]].op for n in nodes if n.op == "neg"] == ["parameter"] * 2
    assert [n.op for n in nodes].count("sub") == 1
    case = make(Signs, Signs.resolve(3, 5))
    for backend in ("cpu", "eager"):
        agree(everything(case, backend), everything(case, "reference"))


def test_split_goes_into_rows() -> None:
    @cell
    def Packed(p, x, h):
        a, b = split(p.matrix("W", rows="2*hidden") @ x, 2)
        return tanh(a + p.U @ h) * sigmoid(b)

    ops = [n.op for n in push_layout(Packed.graph).nodes]
    assert "slice" not in ops and ops.count("rows") == 2
    case = make(Packed, Packed.resolve(3, 5))
    agree(everything(case, "cpu"), everything(case, "reference"))


@cell
def PackedWithBias(p, x, h, c):
    z = p.matrix("W", rows="4*hidden") @ x + p.matrix("U", rows="4*hidden") @ h + p.vector("b", rows="4*hidden")
    i, f, g, o = split(2 * z, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


@pytest.mark.parametrize("how", VARIANTS)
@pytest.mark.parametrize("packed", [cell_named("PackedLSTM"), PackedWithBias], ids=lambda c: c.name)
def test_split_goes_through_sums_and_pointwise_work(packed: Cell, how: str) -> None:
    ops = [n.op for n in push_layout(prepare(packed.graph, VARIANTS[how])).nodes]
    assert "concat" not in ops and ops.count("product") == 8
    assert ops.count("slice") == 4  # of the bias: no value of the row is cut
    for reverse, ragged in ((False, False), (True, True)):
        case = turned(make(packed, packed.resolve(3, 5), variant=VARIANTS[how]), reverse, ragged)
        agree(everything(case, "cpu"), everything(case, "reference"))


def test_parts_of_two_sizes_stay_in_one_vector() -> None:
    """They overlap: what is computed once would be computed twice."""

    @cell
    def Twice(p, x, h):
        z = p.matrix("W", rows="6*hidden") @ x + p.matrix("U", rows="6*hidden") @ h
        a, b = split(z, 2)
        c, *_ = split(z, 6)
        return tanh(c) + mean(a) * mean(b)

    ops = [n.op for n in push_layout(Twice.graph).nodes]
    assert ops.count("product") == 2 and ops.count("slice") == 3
    case = make(Twice, Twice.resolve(3, 5))
    agree(everything(case, "cpu"), everything(case, "reference"))


def test_what_a_state_or_an_input_is_part_of_stays_whole() -> None:
    @cell
    def Halves(p, x, h):
        a, b = split(p.W @ x + p.U @ h + h, 2)
        return concat(tanh(b), sigmoid(a) * a)

    assert [n.op for n in push_layout(Halves.graph).nodes].count("slice") == 2
    case = make(Halves, Halves.resolve(3, 6))
    agree(everything(case, "cpu"), everything(case, "reference"))


def test_a_product_that_is_also_read_whole_stays_whole() -> None:
    @cell(sizes={"z": "2*hidden"})
    def Whole(p, x, h):
        z = p.W @ x + p.U @ h
        k = p.V @ z
        a, b = split(k, 2)
        return tanh(a) * sigmoid(b) * mean(k)

    graph = push_layout(Whole.graph)
    assert "slice" in [n.op for n in graph.nodes]
    case = make(Whole, Whole.resolve(3, 5))
    agree(everything(case, "cpu"), everything(case, "reference"))


def test_coins_alone_in_a_row_operation_or_a_concat(backend: str) -> None:
    """In evaluation a coin is a number; where a vector is asked for, it stays a vector of that number."""

    @cell(output=("h", "k", "e"))
    def Odd(p, x, h, k, e):
        c = coin(like=h, rate=0.25)
        d = concat(coin(like=h, rate=0.5), h)
        new = tanh(p.W @ x + p.U @ c + p.V @ d) * mean(coin(like=h, rate=0.75)) + 0.1 * h
        return new, p.b * coin(like=k, rate=0.9) + 0 * sum(k * e), sum(x) * coin(like=h, rate=0.1)

    case = make(Odd, Odd.resolve(3, 5))
    agree(everything(case, backend), everything(case, "reference"))
    training = replace(case, variant=Variant(training=True))
    agree(everything(training, backend), everything(training, "reference"))


def test_evaluation_of_dropout_is_the_value_itself(backend: str) -> None:
    @cell
    def Dropped(p, x, h):
        return tanh(p.W @ x + p.U @ dropout(h, 0.4))

    @cell
    def Plain(p, x, h):
        return tanh(p.W @ x + p.U @ h)

    case = make(Dropped, Dropped.resolve(3, 5))
    agree(everything(case, backend), everything(replace(case, cell=Plain), backend))
    assert np.any(everything(replace(case, variant=Variant(training=True)), backend)["y"] != everything(case, backend)["y"])


def test_a_computed_factor_of_a_product_goes_into_its_matrix() -> None:
    """LRU's gamma: the rows of B are scaled once a call, and no step multiplies."""

    @cell
    def Scaled(p, x, h):
        return tanh(sigmoid(p.vector("v")) * (p.W @ x) + p.vector("w") * (p.U @ x) + h)

    graph = push_scales(prepare(Scaled.graph, Variant()))
    first, second = (n for n in graph.nodes if n.op == "product")
    matrices = [graph.nodes[n.inputs[0]].op for n in (first, second)]
    factors = [n for n in graph.nodes if n.op == "mul" and n.shape.is_row]
    assert matrices == ["mul", "parameter"] and len(factors) == 1  # a parameter itself stays where it is


def test_a_product_that_others_read_is_not_scaled() -> None:
    @cell
    def Twice(p, x, h):
        u = p.W @ x
        return tanh(sigmoid(p.vector("v")) * u + u + h)

    graph = push_scales(prepare(Twice.graph, Variant()))
    assert [graph.nodes[n.inputs[0]].op for n in graph.nodes if n.op == "product"] == ["parameter"]
