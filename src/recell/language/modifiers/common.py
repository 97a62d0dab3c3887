"""What modifiers share: checked rates, names that are free, coins with numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from recell.errors import CellError
from recell.graph.graph import Builder, Graph

Modifier = Callable[[Graph], Graph]


def checked_rate(rate: Any, example: str) -> float:
    """A probability from 0 to below 1: at 1 nothing would be left."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise CellError(f"a rate must be a number from 0 to below 1; came {rate!r}; write {example}")
    return float(rate)


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, or name_2, name_3 where it is taken."""
    known = set(taken)
    number, candidate = 1, name
    while candidate in known:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


class Coins:
    """Tosses coins whose op numbers no other coin of the graph has."""

    def __init__(self, graph: Graph, builder: Builder) -> None:
        self.builder = builder
        self.next = 1 + max((n.attributes[2] for n in graph.nodes if n.op == "coin"), default=-1)

    def toss(self, like: int, rate: float, per: str) -> int:
        """1 with probability `rate`, one a unit of the node `like`."""
        self.next += 1
        return self.builder.apply("coin", (like,), (rate, per, self.next - 1))

    def dropout(self, value: int, rate: float, per: str) -> int:
        """As the language's `dropout`: value * ((1 - coin) / (1 - rate)), exactly the value in evaluation."""
        b = self.builder
        coin = self.toss(value, rate, per)
        kept = b.apply("sub", (b.constant(1.0), coin))
        return b.apply("mul", (value, b.apply("div", (kept, b.constant(1 - rate)))))


def states_of(graph: Graph, place: int) -> set[int]:
    """The states that an operand of a product holds: itself one, or one as a part of it or times a gate.

    Through `concat`, `split` and `*` alone, where dropping units of the state drops units of the operand; empty for an
    operand that is computed in this step.
    """
    node = graph.nodes[place]
    if node.op == "state":
        return {node.attributes[0]} if node.shape.dims else set()  # time is a number, never dropped
    if node.op not in ("concat", "slice", "mul"):
        return set()
    return {state for i in node.inputs for state in states_of(graph, i)}


def parameters_of(graph: Graph, place: int) -> list[int]:
    """The leaf parameters that a value is made of, from left to right."""
    node = graph.nodes[place]
    if node.op == "parameter":
        return [place]
    return list(dict.fromkeys(leaf for i in node.inputs for leaf in parameters_of(graph, i)))
