"""The minimum cut: what is kept suffices for the gradients, and nothing smaller does."""

from __future__ import annotations

from itertools import combinations

import pytest

from recell import abs, cell, cells, exp, normalize, sigmoid, tanh  # noqa: A004
from recell.compiler.backward import derive
from recell.compiler.build import Variant
from recell.compiler.passes import prepare
from recell.compiler.stash import Stash, _Flow, choose, width
from recell.compiler.sums import gather_graph
from recell.graph.ops import OPS
from tests.contract.descriptions import NAMES, cell_named, description_of
from tests.contract.harness import sizes_of


def test_the_flow_equals_the_smallest_cut() -> None:
    """On a small network, against every cut there is."""
    edges = {(0, 1): 3, (0, 2): 2, (1, 2): 1, (1, 3): 2, (2, 3): 3, (2, 4): 1, (3, 4): 4}
    smallest = min(
        sum(c for (a, b), c in edges.items() if a in side and b not in side)
        for r in range(4)
        for inner in combinations((1, 2, 3), r)
        for side in [{0, *inner}]
    )
    flow = _Flow(5)
    for (a, b), capacity in edges.items():
        flow.edge(a, b, capacity)
    flow.maximise(0, 4)
    far_side = flow.reaching(4)
    assert sum(c for (a, b), c in edges.items() if a not in far_side and b in far_side) == smallest == 5


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_suffices(name: str) -> None:
    """Everything that a gradient reads of the forward step can be computed again from what is kept or free."""
    cell, sizes = cell_named(name), sizes_of(cell_named(name), 12, description_of(name).sizes)
    graph = gather_graph(prepare(cell.graph, Variant(training=True)))
    backward = derive(graph, input_gradient=True)
    stash = choose(graph, backward, sizes)
    known = {p for p, n in enumerate(graph.nodes) if not n.shape.is_row or n.op in ("input", "elapsed", "coin")} | set(
        stash.values
    )
    known |= {o for o, s in zip(graph.output, graph.output_states, strict=True) if s < 0}
    for k in (*stash.states, *stash.free_states):
        known |= {graph.states[k].before, graph.states[k].after}
    for place, node in enumerate(graph.nodes):  # in order, so one pass computes again whatever can be
        if OPS[node.op].kind in ("point", "layout") and set(node.inputs) <= known:
            known.add(place)
    read = {i for node in backward.nodes[backward.forward_count :] for i in node.inputs if i < backward.forward_count}
    roots = [n for _, _, n in backward.state_adjoints] + [p for _, parts in backward.reductions for p in parts]
    live = _reached(backward, [*roots, *([backward.input_gradient] if backward.input_gradient is not None else [])])
    assert {i for i in read if i in live} <= known
    assert stash.floats == _floats(graph, stash, sizes)


def _reached(backward, roots):
    seen, stack = set(), list(roots)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(backward.nodes[node].inputs if node >= backward.forward_count else ())
    return seen


def _floats(graph, stash: Stash, sizes) -> int:
    kept = [*stash.values, *(graph.states[k].before for k in stash.states)]
    return sum(width(graph.nodes[n], sizes) for n in kept)


def test_what_can_be_computed_again_is_not_kept() -> None:
    """tanh, exp and products of elements of y: everything comes back from y alone."""

    @cell
    def Chain(p, x, h):
        return sigmoid(tanh(p.a * x + p.b * h))

    sizes = Chain.resolve(6, 6)
    assert Chain.stash_floats(sizes) <= 6


def test_row_numbers_count_one() -> None:
    @cell
    def Normal(p, x, h):
        return tanh(normalize(p.W @ x + p.U @ h))

    sizes = Normal.resolve(3, 40)
    assert Normal.stash_floats(sizes) == 40 + 1 or Normal.stash_floats(sizes) == 1


def test_a_value_behind_two_readers_is_kept_once() -> None:
    @cell
    def Two(p, x, h, c):
        a = p.W @ x + p.U @ h
        c = abs(a) * exp(-a * a) + c
        return a * c, c

    sizes = Two.resolve(3, 10)
    assert Two.stash_floats(sizes) <= 20


def test_the_lstm_keeps_its_gates_and_its_memory() -> None:
    graph = gather_graph(prepare(cells.LSTM.graph, Variant()))
    stash = choose(graph, derive(graph, input_gradient=True), {"input": 3, "hidden": 8})
    assert sorted(graph.nodes[v].op for v in stash.values) == ["sigmoid", "sigmoid", "sigmoid", "tanh"]
    assert [graph.states[k].name for k in stash.states] == ["c"] and stash.floats == 40
