"""A graph as data (JSON) and back. Nothing in it is ever run or compiled as text."""

from __future__ import annotations

from typing import Any

from recell.errors import CellError, ModelError
from recell.graph.graph import PARAMETER, ROW, Graph, Node, ParameterInfo, Shape, State, restored
from recell.graph.size import Size

FORMAT = 1


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as data that JSON holds."""
    return {
        "format": FORMAT,
        "nodes": [[n.op, list(n.inputs), [_attribute(a) for a in n.attributes], n.shape.space,
                   [str(d) for d in n.shape.dims]] for n in graph.nodes],
        "states": [[s.name, None if s.size is None else str(s.size), s.initial, s.before, s.after, *restored(s)]
                   for s in graph.states],
        "parameters": [[p.name, p.node, p.trainable] for p in graph.parameters],
        "output": list(graph.output),
        "output_states": list(graph.output_states),
        "names": [[name, node] for name, node in graph.names],
        "forced_input": None if graph.forced_input is None else str(graph.forced_input),
    }


def from_json(data: Any) -> Graph:
    """Reads the form only; `verify` checks what it says. ModelError if the form is not right."""
    try:
        if data["format"] != FORMAT:
            raise ModelError(f"the saved cell has format {data['format']!r}; this version reads {FORMAT}; "
                             "install the version of recell that saved it")
        nodes = tuple(_node(*entry) for entry in data["nodes"])
        states = tuple(_state(*entry) for entry in data["states"])
        parameters = tuple(ParameterInfo(_text(name), int(node), nodes[int(node)].shape, bool(trainable))
                           for name, node, trainable in data["parameters"])
        forced = data["forced_input"]
        return Graph(nodes, states, parameters, tuple(map(int, data["output"])), tuple(map(int, data["output_states"])),
                     tuple((_text(name), int(node)) for name, node in data["names"]),
                     None if forced is None else Size.parse(_text(forced)))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, CellError) as error:
        raise ModelError(f"the saved cell's graph can't be read; came {type(error).__name__}: {error}; "
                         "save the model again") from None


def _node(op: str, inputs: list[int], attributes: list[Any], space: str, dims: list[str]) -> Node:
    if space not in (ROW, PARAMETER):
        raise ValueError(f"space {space!r}")
    if not isinstance(dims, list) or len(dims) > 2:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"dimensions {dims!r:.40}")
    shape = Shape(space, tuple(Size.parse(_text(d)) for d in dims))
    return Node(_text(op), tuple(int(i) for i in inputs), tuple(_read_attribute(a) for a in attributes), shape)


def _state(name: str, size: str | None, initial: float, before: int, after: int, restored: int | None = None) -> State:
    return State(_text(name), None if size is None else Size.parse(_text(size)), float(initial), int(before), int(after),
                 None if restored is None else int(restored))


def _attribute(value: Any) -> Any:
    return {"size": str(value)} if isinstance(value, Size) else value


def _read_attribute(value: Any) -> Any:
    if isinstance(value, dict):
        return Size.parse(_text(value["size"]))
    if not isinstance(value, (int, float, str)):
        raise ValueError(f"attribute {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError(f"a short text was expected, not {value!r}")
    return value
