"""Dilation: a step reads the states of k steps ago (Chang et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recell.errors import CellError, whole
from recell.graph.graph import Builder, Graph, State
from recell.graph.rewrite import copy, relocate
from recell.language.modifiers.common import free_name


@dataclass(frozen=True)
class Dilation:
    """Graph -> graph."""

    steps: int

    def __call__(self, graph: Graph) -> Graph:
        if self.steps > 1 and graph.uses_elapsed:
            raise CellError("dilation reads the states of k steps ago, but dt is the time since the last step; came a cell "
                            "that reads dt; write a cell without dt")
        return _Dilated(graph, self.steps).run() if self.steps > 1 else graph


class _Dilated:
    """One rebuilding. States: the cell's own, their delayed copies (the nearest step first), time."""

    def __init__(self, graph: Graph, steps: int) -> None:
        self.graph, self.steps = graph, steps
        self.builder = Builder()
        self.own = [s for s in graph.states if s.size is not None]
        self.delays = range(1, steps)
        self.index = {s.before: i for i, s in enumerate(self.own)}  # old leaf -> number among the cell's own states
        self.before: dict[tuple[int, int], int] = {}  # (state, delay) -> its new leaf
        self.place: list[int] = []

    def run(self) -> Graph:
        graph = self.graph
        time = next((s for s in graph.states if s.size is None), None)
        clock = -1
        for old, node in enumerate(graph.nodes):
            if time is not None and old == time.before:
                clock = self.builder.leaf("state", (len(self.own) * self.steps,), node.shape)
                self.place.append(self._slow(clock))
            elif node.op == "state":
                self.place.append(self._delayed(old))
            else:
                self.place.append(copy(self.builder, node, tuple(self.place[i] for i in node.inputs)))
        counted: list[State] = []
        if time is not None:  # the clock itself counts every step
            after = self.builder.apply("add", (clock, self.builder.constant(1.0)))
            counted = [replace(time, before=clock, after=after)]
        return replace(relocate(graph, self.builder, self.place), states=(*self._states(), *counted))

    def _delayed(self, old: int) -> int:
        """Leaves for a state and its copies; what the step reads is the oldest."""
        number, shape = self.index[old], self.graph.nodes[old].shape
        for delay in range(self.steps):
            leaf = self.builder.leaf("state", (delay * len(self.own) + number,), shape)
            self.before[number, delay] = leaf
        return self.before[number, self.steps - 1]

    def _slow(self, time: int) -> int:
        """Each of the k interleaved runs counts its own steps."""
        b = self.builder
        return b.apply("floor", (b.apply("div", (time, b.constant(float(self.steps)))),))

    def _states(self) -> list[State]:
        """Own states take their new values, a copy the value of the copy before it."""
        taken = [s.name for s in self.graph.states] + [name for name, _ in self.graph.names]
        result = [replace(s, before=self.before[i, 0], after=self.place[s.after]) for i, s in enumerate(self.own)]
        for delay in self.delays:
            for i, state in enumerate(self.own):
                name = free_name(f"{state.name}_ago_{delay}", taken)
                result.append(State(name, state.size, state.initial, self.before[i, delay], self.before[i, delay - 1]))
        return result


def dilation(k: int) -> Dilation:
    """The cell sees its states of k steps ago instead of the last step's (DilatedRNN, Chang et al. 2017).

    It equals k interleaved runs of the cell: steps t, t + k, t + 2k, ... make one run. Delayed copies of each state become
    states of their own, `h_ago_1` (the step before `h`) to `h_ago_{k-1}`, with the state's size and initial value; a masked
    step moves none of them. A cell that reads `t` reads the step's number within its run. Raises CellError for a k below
    1, and when applied to a cell that reads dt.
    """
    return Dilation(whole("k", k, rule="must be a whole number of at least 1", write="dilation(2)", error=CellError))
