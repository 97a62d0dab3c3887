"""Zoneout: units of a state keep their old values at random (Krueger et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recell.errors import CellError, unknown
from recell.graph.graph import Builder, Graph
from recell.language.modifiers.common import Coins, checked_rate


@dataclass(frozen=True)
class Zoneout:
    """Graph -> graph; `rates` are (state, rate) in the order in which they were given."""

    rates: tuple[tuple[str, float], ...]

    def __call__(self, graph: Graph) -> Graph:
        numbers = {s.name: i for i, s in enumerate(graph.states) if s.size is not None}
        builder = Builder(graph.nodes)
        coins, states = Coins(graph, builder), list(graph.states)
        for name, rate in self.rates:
            if name not in numbers:
                raise CellError(f"zoneout keeps states: {unknown('state', name, numbers)}")
            state = states[numbers[name]]
            if rate:
                coin = coins.toss(state.before, rate, "step")
                states[numbers[name]] = replace(state, after=_either(builder, coin, state.before, state.after))
        output = tuple(states[s].after if s >= 0 else node
                       for node, s in zip(graph.output, graph.output_states, strict=True))
        return replace(graph, nodes=tuple(builder.nodes), states=tuple(states), output=output)


def _either(b: Builder, coin: int, old: int, new: int) -> int:
    """coin * old + (1 - coin) * new: a choice in training; in evaluation, where the coin is its rate, the expectation."""
    keep = b.apply("mul", (coin, old))
    rest = b.apply("sub", (b.constant(1.0), coin))
    return b.apply("add", (keep, b.apply("mul", (rest, new))))


def zoneout(*unnamed: object, **rates: float) -> Zoneout:
    """Zoneout (Krueger et al. 2017): each unit of a named state keeps its old value with the state's rate.

    >>> zoneout(h=0.05, c=0.5)
    Zoneout(rates=(('h', 0.05), ('c', 0.5)))

    One coin a row, unit and step in training; in evaluation the new state is the expectation, rate * old + (1 - rate) *
    new. Equations of the same step read the value before zoneout (an LSTM's h is made of the c that no unit kept); the
    cell's output, where it is a state, is the value after. Rate 0 leaves a state as it was. Raises CellError for a rate
    outside [0, 1), and when applied for a state that the cell does not have.
    """
    table: Mapping[str, float] = rates
    if unnamed or not table:
        came = f"{unnamed[0]!r:.60} without a name" if unnamed else "none"
        raise CellError(f"zoneout needs a rate for a state; came {came}; write zoneout(h=0.05, c=0.5)")
    return Zoneout(tuple((name, checked_rate(rate, f"zoneout({name}=0.1)")) for name, rate in table.items()))
