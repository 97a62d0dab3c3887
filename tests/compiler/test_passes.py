"""Rewrites keep the meaning: the reference, which sees none of them, is the judge in tests/contract; here, their form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import cell, coin, concat, dropout, mean, sigmoid, split, sum, tanh  # noqa: A004
from recell.compiler.build import Variant
from recell.compiler.passes import prepare, push_layout, with_mask, with_reset
from recell.errors import CellError
from recell.graph.verify import verify
from tests.contract.descriptions import NAMES, cell_named
from tests.contract.harness import VARIANTS, agree, everything, make


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
    assert fresh == {0: 0.0, 1: 0.0, 2: 1.0, 3: 0.0}


def test_a_mask_holds_states_and_silences_locals() -> None:
    graph = with_mask(cell_named("QRNN").graph)
    for state in graph.states:
        held = graph.nodes[state.after]
        assert held.op == "where" and graph.nodes[held.inputs[0]].op == "mask" and held.inputs[2] == state.before
    output = graph.nodes[graph.output[0]]
    assert output.op == "where" and graph.nodes[output.inputs[2]].attributes == (0.0,)


def test_concat_goes_into_columns() -> None:
    ops = [n.op for n in push_layout(cell_named("PackedLSTM").graph).nodes]
    assert "concat" not in ops and ops.count("columns") == ops.count("product") == 2


def test_split_goes_into_rows() -> None:
    @cell
    def Packed(p, x, h):
        a, b = split(p.matrix("W", rows="2*hidden") @ x, 2)
        return tanh(a + p.U @ h) * sigmoid(b)

    ops = [n.op for n in push_layout(Packed.graph).nodes]
    assert "slice" not in ops and ops.count("rows") == 2
    case = make(Packed, Packed.resolve(3, 5))
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
