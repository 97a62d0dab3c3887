"""Dropout inside the recurrence: on the state that products read, or on the weights that read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recell.errors import CellError, unknown
from recell.graph.graph import Builder, Graph
from recell.graph.rewrite import copy, relocate
from recell.language.modifiers.common import Coins, checked_rate, parameters_of, states_of


@dataclass(frozen=True)
class RecurrentDropout:
    """Graph -> graph."""

    rate: float
    per: str

    def __call__(self, graph: Graph) -> Graph:
        operands = recurrent_operands(graph)
        if not operands:
            raise CellError("recurrent_dropout drops the states that recurrent parameters multiply; came a cell of which no "
                            "parameter multiplies a state; write zoneout(h=0.1), or dropout(h, 0.1) in the cell itself")
        return _DroppedOperands(graph, self, operands).run() if self.rate else graph


def recurrent_operands(graph: Graph) -> dict[int, int]:
    """Node -> which of its inputs is a recurrent operand: of matrix products, in a cell without any of elementwise ones."""
    nodes = list(enumerate(graph.nodes))
    found = {place: 1 for place, node in nodes if node.op == "product" and states_of(graph, node.inputs[1])}
    return found or {place: 1 - k for place, node in nodes if node.op == "mul" for k in (0, 1)
                     if not graph.nodes[node.inputs[k]].shape.is_row and parameters_of(graph, node.inputs[k])
                     and states_of(graph, node.inputs[1 - k])}  # fmt: skip


class _DroppedOperands:
    """One rebuilding: every state has one mask, whichever product reads it."""

    def __init__(self, graph: Graph, how: RecurrentDropout, operands: Mapping[int, int]) -> None:
        self.graph, self.how, self.operands = graph, how, operands
        self.builder = Builder()
        self.coins = Coins(graph, self.builder)
        self.place: list[int] = []
        self.dropped: dict[int, int] = {}  # old place -> the value with its states dropped

    def run(self) -> Graph:
        for old, node in enumerate(self.graph.nodes):
            inputs = [self.place[i] for i in node.inputs]
            if old in self.operands:
                operand = self.operands[old]
                inputs[operand] = self._drop(node.inputs[operand])
            self.place.append(copy(self.builder, node, tuple(inputs)))
        return relocate(self.graph, self.builder, self.place)

    def _drop(self, old: int) -> int:
        if not states_of(self.graph, old):
            return self.place[old]
        if old not in self.dropped:
            node = self.graph.nodes[old]
            if node.op == "state":
                new = self.coins.dropout(self.place[old], self.how.rate, self.how.per)
            else:
                new = copy(self.builder, node, tuple(self._drop(i) for i in node.inputs))
            self.dropped[old] = new
        return self.dropped[old]


def recurrent_dropout(rate: float, per: str = "sequence") -> RecurrentDropout:
    """Dropout on the recurrent operand: every state that a product reads (Gal & Ghahramani 2016).

    A product's operand is recurrent if it is a state as it enters the step, itself, as a part of a `concat` or `split`,
    or times a gate (`p.U @ (r * h)`). Other reads of the state (`f * c`, a peephole) see it whole. In a cell of which no
    matrix reads a state, the recurrent products are the elementwise ones with parameters (`p.u * h`). A state has one mask
    for all products; `per="sequence"` draws it once a sequence, `per="step"` anew at every step. What is kept is scaled
    by 1 / (1 - rate); in evaluation the cell is the one without dropout. Rate 0 changes nothing. Raises CellError for a
    rate outside [0, 1), another `per`, and when applied to a cell of which no parameter multiplies a state.

    A matrix sums over the units, so that its product stays as large; an elementwise weight of a unit that is kept is
    1 / (1 - rate) times as large, all through a sequence: one near 1 (IndRNN's, LRU's) then grows without bound over many
    steps. Hold such weights below 1 - rate, or take `per="step"`.
    """
    if per not in ("sequence", "step"):
        raise CellError(f"per must be 'sequence' or 'step'; came {per!r}; write recurrent_dropout(0.3, per='step')")
    return RecurrentDropout(checked_rate(rate, "recurrent_dropout(0.3)"), per)


@dataclass(frozen=True)
class WeightDrop:
    """Graph -> graph; no names: every recurrent weight."""

    rate: float
    names: tuple[str, ...]

    def __call__(self, graph: Graph) -> Graph:
        chosen = self._chosen(graph)
        builder = Builder()
        coins, leaves, place = Coins(graph, builder), dict[int, int](), list[int]()
        for old, node in enumerate(graph.nodes):
            new = copy(builder, node, tuple(place[i] for i in node.inputs))
            leaves[old] = new
            if old in chosen and self.rate:
                new = coins.dropout(new, self.rate, "sequence")
            place.append(new)
        moved = relocate(graph, builder, place)
        parameters = tuple(replace(p, node=leaves[p.node]) for p in graph.parameters)
        return replace(moved, parameters=parameters)

    def _chosen(self, graph: Graph) -> set[int]:
        """The leaves that are dropped."""
        if not self.names:
            return _recurrent_weights(graph)
        known = [p.name for p in graph.parameters]
        chosen: set[str] = set()
        for name in self.names:
            found = [name] if name in known else [other for other in known if other.startswith(f"{name}_")]
            if not found:
                raise CellError(f"weight_drop drops parameters: {unknown('parameter', name, known)}")
            chosen |= set(found)
        return {p.node for p in graph.parameters if p.name in chosen}


def _recurrent_weights(graph: Graph) -> set[int]:
    """The matrices of products; of elementwise products the vectors alone that are weights themselves: an exponent is none."""
    weights = [graph.nodes[place].inputs[1 - operand] for place, operand in recurrent_operands(graph).items()]
    found = {leaf for weight in weights if len(graph.nodes[weight].shape.dims) == 2 or graph.nodes[weight].op == "parameter"
             for leaf in parameters_of(graph, weight)}  # fmt: skip
    if not found:
        raise CellError("weight_drop drops the weights that multiply a state; came a cell of which no parameter itself "
                        "multiplies one; name the parameters: weight_drop(0.5, 'U')")
    return found


def weight_drop(rate: float, *names: str) -> WeightDrop:
    """DropConnect on the recurrent weights (Wan et al. 2013; AWD-LSTM, Merity et al. 2018).

    names: the parameters; a name that is no parameter's own stands for all that begin with it and an underscore (`U`:
    `U_i U_f U_g U_o`); without names, every matrix that multiplies a state, and in a cell of which no matrix reads a state
    every vector that is itself a parameter and multiplies one (`p.u * h`). One coin an entry of the parameter, drawn once a
    call: all rows and steps share the dropped weights. What is kept is scaled by 1 / (1 - rate), which makes a vector's weight
    near 1 grow without bound as it does in `recurrent_dropout`; in evaluation the cell is the one without it. Rate 0 changes
    nothing. Raises
    CellError for a rate outside [0, 1), for a cell without such weights, and for a parameter that the cell does not have.

    >>> weight_drop(0.5, "U_i", "U_f")
    WeightDrop(rate=0.5, names=('U_i', 'U_f'))
    """
    if not all(isinstance(name, str) for name in names):
        raise CellError(f"weight_drop takes names of parameters; came {names!r}; write weight_drop(0.5, 'U_i', 'U_f')")
    return WeightDrop(checked_rate(rate, "weight_drop(0.5)"), names)
