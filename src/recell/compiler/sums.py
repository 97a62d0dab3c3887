"""Sums put in one order: products first, then what is given, then the rest, so that one form takes all products."""

from __future__ import annotations

from collections.abc import Iterable

from recell.graph.graph import Builder, Node


def gather(nodes: tuple[Node, ...], pinned: Iterable[int], fixed: int = 0) -> tuple[tuple[Node, ...], list[int]]:
    """Rebuilds every sum of three or more that holds a product; returns the nodes and old -> new places.

    `pinned` values are read from outside; the first `fixed` nodes stay as and where they are.
    """
    kept = set(pinned)
    readers: dict[int, list[int]] = {}
    for place, node in enumerate(nodes):
        for i in node.inputs:
            readers.setdefault(i, []).append(place)
    builder = Builder(nodes[:fixed])
    place = list(range(fixed))
    for old in range(fixed, len(nodes)):
        node = nodes[old]
        addends = _addends(nodes, readers, kept, old, fixed) if node.op == "add" else []
        if len(addends) > 2 and any(nodes[a].op == "product" for a in addends):
            ordered = sorted(addends, key=lambda a: _rank(nodes[a]))
            total = place[ordered[0]]
            for addend in ordered[1:]:
                total = builder.apply("add", (total, place[addend]))
            place.append(total)
        else:
            place.append(builder._append(node.op, tuple(place[i] for i in node.inputs), node.attributes, node.shape))  # pyright: ignore[reportPrivateUsage]
    return tuple(builder.nodes), place


def _rank(node: Node) -> int:
    if node.op == "product":
        return 0
    return 2 if node.shape.is_row else 1


def _addends(nodes: tuple[Node, ...], readers: dict[int, list[int]], pinned: set[int], root: int, fixed: int) -> list[int]:
    """The terms of a sum, through inner sums that nobody else reads and that have the sum's own shape."""
    result: list[int] = []
    stack = list(reversed(nodes[root].inputs))
    while stack:
        i = stack.pop()
        inner = nodes[i].op == "add" and len(readers[i]) == 1 and i not in pinned and i >= fixed
        if inner and nodes[i].shape == nodes[root].shape:
            stack.extend(reversed(nodes[i].inputs))
        else:
            result.append(i)
    return result
