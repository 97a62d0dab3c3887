"""Rebuilding a graph: a rule that changes nothing changes nothing; what a rule replaces is replaced everywhere."""

from __future__ import annotations

import pytest

from recell import CellError, cells
from recell.graph.graph import Builder, Node
from recell.graph.rewrite import drop_dead, rewrite, tidy
from recell.graph.verify import verify
from tests.contract.descriptions import NAMES, cell_named


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_no_change(name: str) -> None:
    graph = cell_named(name).graph
    assert rewrite(graph, lambda builder, node, inputs: None) == graph
    assert tidy(graph).key == graph.key


def test_every_mention_moves() -> None:
    """tanh becomes sin: the state, the output, the names follow."""

    def rule(builder: Builder, node: Node, inputs: tuple[int, ...]) -> int | None:
        return builder.apply("neg", (builder.apply("sin", inputs),)) if node.op == "tanh" else None

    graph = cells.Elman.graph
    changed = rewrite(graph, rule)
    verify(changed, CellError)
    (state,) = changed.states
    assert changed.nodes[state.after].op == "neg" and changed.output == (state.after,)
    assert dict(changed.names)["h"] == state.after
    assert "tanh" not in {n.op for n in changed.nodes}


def test_dead_values_go_and_their_names_too() -> None:
    graph = cells.LSTM.graph
    builder = Builder(graph.nodes)
    extra = builder.apply("sin", (graph.states[0].after,))
    from dataclasses import replace

    grown = replace(graph, nodes=tuple(builder.nodes), names=(*graph.names, ("dead", extra)))
    assert drop_dead(grown) == graph
