"""Nodes and the builder: equal nodes are one, shapes are inferred, numbers fold; the key is the structure's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recell import CellError, cells
from recell.graph.graph import PARAMETER, ROW, Builder, Shape, ShapeClash
from recell.graph.size import Size

HIDDEN, INPUT = Size.symbol("hidden"), Size.symbol("input")


@pytest.fixture
def builder() -> Builder:
    return Builder()


def vector(builder: Builder, name: str, size: Size = HIDDEN, space: str = ROW) -> int:
    return builder.leaf("parameter" if space == PARAMETER else "state", (name,), Shape(space, (size,)))


def test_equal_nodes_are_one(builder: Builder) -> None:
    a, b = vector(builder, "a"), vector(builder, "b")
    assert builder.apply("add", (a, b)) == builder.apply("add", (a, b))
    assert builder.apply("add", (a, b)) != builder.apply("add", (b, a))
    assert len(builder.nodes) == 4


def test_numbers_fold(builder: Builder) -> None:
    node = builder.apply("mul", (builder.constant(3), builder.apply("add", (builder.constant(1), builder.constant(2)))))
    assert builder.value_of(node) == 9.0


def test_neutral_elements_go_only_where_asked() -> None:
    for simplify, added in ((False, 1), (True, 0)):
        builder = Builder(simplify=simplify)
        a, one = vector(builder, "a"), builder.constant(1.0)
        before = len(builder.nodes)
        builder.apply("mul", (a, one))
        assert len(builder.nodes) - before == added


@pytest.mark.parametrize(("name", "left", "right", "result"), [
    ("add", 0.0, None, "a"), ("add", None, 0.0, "a"), ("sub", None, 0.0, "a"), ("mul", 1.0, None, "a"), ("mul", None, 1.0, "a"),
    ("div", None, 1.0, "a"), ("mul", 0.0, None, 0.0), ("mul", None, 0.0, 0.0), ("div", 0.0, None, 0.0),
])  # fmt: skip
def test_each_neutral_element(name: str, left: float | None, right: float | None, result: object) -> None:
    builder = Builder(simplify=True)
    a = vector(builder, "a")
    node = builder.apply(name, tuple(a if v is None else builder.constant(v) for v in (left, right)))
    assert node == a if result == "a" else builder.value_of(node) == result


def test_signs_are_gathered() -> None:
    builder = Builder(simplify=True)
    a, b = vector(builder, "a"), vector(builder, "b")
    minus = builder.apply("neg", (a,))
    assert builder.apply("neg", (minus,)) == a
    assert builder.nodes[builder.apply("add", (b, minus))].op == "sub"
    assert builder.nodes[builder.apply("sub", (builder.constant(0.0), a))].op == "neg"


def test_broadcasting(builder: Builder) -> None:
    row, parameter, number = vector(builder, "a"), vector(builder, "b", space=PARAMETER), builder.leaf("elapsed", (), Shape(ROW))
    assert builder.shape(builder.apply("add", (row, parameter))) == Shape(ROW, (HIDDEN,))
    assert builder.shape(builder.apply("mul", (parameter, number))) == Shape(ROW, (HIDDEN,))
    assert builder.shape(builder.apply("mul", (number, builder.constant(2)))) == Shape(ROW)


def test_different_sizes_clash(builder: Builder) -> None:
    with pytest.raises(ShapeClash, match="context and hidden"):
        builder.apply("add", (vector(builder, "a"), vector(builder, "b", Size.symbol("context"))))


def test_products_and_layout(builder: Builder) -> None:
    matrix = builder.leaf("parameter", (9,), Shape(PARAMETER, (HIDDEN, INPUT)))
    x = vector(builder, "x", INPUT)
    assert builder.shape(builder.apply("product", (matrix, x))).dims == (HIDDEN,)
    assert builder.shape(builder.apply("transpose", (matrix,))).dims == (INPUT, HIDDEN)
    joined = builder.apply("concat", (x, builder.apply("product", (matrix, x)), builder.leaf("elapsed", (), Shape(ROW))))
    assert str(builder.shape(joined).dims[0]) == "hidden + input + 1"
    with pytest.raises(CellError, match=r"write `r \* \(p.U @ h\)`"):
        builder.apply("mul", (x, matrix))


def test_the_key_is_that_of_the_structure() -> None:
    graph = cells.LSTM.graph
    renamed = replace(
        graph,
        names=(),
        states=tuple(replace(s, name=f"s{i}") for i, s in enumerate(graph.states)),
        parameters=tuple(replace(p, name=f"q{i}", init=1.0) for i, p in enumerate(graph.parameters)),
    )
    assert renamed.key == graph.key
    for changed in (
        replace(graph, states=(replace(graph.states[0], initial=1.0), graph.states[1])),
        replace(graph, parameters=(replace(graph.parameters[0], trainable=False), *graph.parameters[1:])),
        replace(graph, output=(graph.states[1].after,), output_states=(1,)),
        replace(graph, forced_input=HIDDEN),
        replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], op="add"))),
    ):
        assert changed.key != graph.key
