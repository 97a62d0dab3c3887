"""From a recording to a finished graph: sizes settled, states tied, dead values dropped, and every check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from recell.errors import unknown
from recell.graph.graph import Graph, Node, ParameterInfo, Shape, State
from recell.graph.size import UNKNOWN, Size
from recell.language.trace import Tracer
from recell.language.value import Value


def finish(tracer: Tracer, returned: tuple[Value, ...], sizes: Mapping[str, Size | None],
           output: tuple[str, ...] | None, initial: Mapping[str, float]) -> Graph:
    """The graph of a recorded step; CellError where it contradicts itself or says nothing."""
    names = [name for name in sizes if sizes[name] is not None]
    _check_returned(tracer, returned, names)
    after = dict(zip(names, returned, strict=True))
    for name, value in after.items():
        _tie_state(tracer, name, value, sizes[name])
    if "t" in sizes:
        after["t"] = Value(tracer, tracer.builder.apply("add", (_before(tracer, "t", sizes), tracer.builder.constant(1.0))))
    unused = set(tracer.sizes) - tracer.sized - set(sizes)
    if unused:
        tracer.fail("sizes names no state or local: " + unknown("name", sorted(unused)[0],
                                                                [*sizes, *(n for n, _ in tracer.names)]))
    outputs, output_states = _outputs(tracer, output, names, after)
    tracer.settle()
    order = [*names, *(["t"] if "t" in sizes else [])]
    states = tuple(State(n, sizes[n], initial.get(n, 0.0), _before(tracer, n, sizes), after[n].node) for n in order)
    graph = Graph(tuple(tracer.builder.nodes), states, tuple(tracer.parameters.values()), outputs,
                  tuple(order.index(s) if s else -1 for s in output_states), tuple(tracer.names),
                  tracer.builder.unifier.forced_input)
    _check_liveness(tracer, graph)
    return _tidy(graph, tracer)


def _before(tracer: Tracer, name: str, sizes: Mapping[str, Size | None]) -> int:
    index = list(sizes).index(name)
    nodes = tracer.builder.nodes
    return next(i for i, n in enumerate(nodes) if n.op == "state" and n.attributes == (index,))


def _check_returned(tracer: Tracer, returned: tuple[Value, ...], names: list[str]) -> None:
    if len(returned) != len(names):
        tracer.fail(f"a cell returns one value per state, in their order ({', '.join(names)}); came {len(returned)}; "
                    f"write return {', '.join(names)}")
    bound = dict(tracer.names)
    for name, value in zip(names, returned, strict=True):
        if not value.shape.is_row or not value.shape.dims:
            tracer.fail(f"the new value of the state {name!r} must be a vector of the row; came {value.shape}; "
                        f"write a value that depends on x or a state")
        for other in names:
            own = returned[names.index(other)]
            is_leaf = tracer.builder.nodes[value.node].op == "state"
            if other != name and not is_leaf and bound.get(other) == value.node and own.node != value.node:
                tracer.fail(f"the returned value for the state {name!r} bears the name of the state {other!r}; "
                            f"came return with {other} in the place of {name}; write return {', '.join(names)}")


def _tie_state(tracer: Tracer, name: str, value: Value, size: Size | None) -> None:
    assert size is not None
    reduce = tracer.builder.unifier.reduce
    came = reduce(value.shape.dims[0])
    if not tracer.builder.unifier.equate(came, size):
        tracer.fail(f"the state {name!r} has size {size}, but its new value has {came}; came return {name}; "
                    f"write sizes={{{name!r}: {str(came)!r}}} or change the equation")


def _outputs(tracer: Tracer, output: tuple[str, ...] | None, names: list[str],
             after: Mapping[str, Value]) -> tuple[tuple[int, ...], list[str | None]]:
    bound = dict(tracer.names)
    nodes, states = [], []
    for name in output or (names[0],):
        if name in after and name != "t":
            nodes.append(after[name].node)
            states.append(name)
        elif name in bound and tracer.builder.shape(bound[name]).is_row:
            nodes.append(bound[name])
            states.append(None)
        else:
            tracer.fail(f"output names no state or local of the row: {unknown('name', name, [*after, *bound])}")
    return tuple(nodes), states


def _check_liveness(tracer: Tracer, graph: Graph) -> None:
    """Every state and parameter must reach the output, at this step or a later one."""
    live = live_nodes(graph, through_states=True)
    for state in graph.states:
        if state.before not in live and state.name != "t":
            read = any(state.before in n.inputs for n in graph.nodes)
            how = "is read only to make itself" if read else "is never read"
            tracer.fail(f"the state {state.name!r} {how}; came a state that reaches no output; "
                        f"use {state.name} in an equation of the output, or remove it", line=tracer.code.co_firstlineno)
        if state.name == "t" and state.before not in live:
            tracer.fail("the time t is never read; came an argument t; remove it, or use it", line=tracer.code.co_firstlineno)
    for parameter in graph.parameters:
        if parameter.node not in live:
            tracer.fail(f"the parameter {parameter.name!r} reaches nothing; came p.{parameter.name}; "
                        "use its value in an equation of the output, or remove it", line=tracer.first_use[parameter.name])


def live_nodes(graph: Graph, *, through_states: bool) -> set[int]:
    """Nodes that reach the output (or, not through_states, the output or any state of the same step)."""
    after = {s.before: s.after for s in graph.states}
    stack = list(graph.output) if through_states else [*graph.output, *(s.after for s in graph.states)]
    live: set[int] = set()
    while stack:
        node = stack.pop()
        if node in live:
            continue
        live.add(node)
        stack.extend(graph.nodes[node].inputs)
        if through_states and node in after:
            stack.append(after[node])
    return live


def _tidy(graph: Graph, tracer: Tracer) -> Graph:
    """Drops dead values, settles sizes in every node, and leaves names of leaves out."""
    reduce = tracer.builder.unifier.reduce
    live = sorted(live_nodes(graph, through_states=False))
    place = {old: new for new, old in enumerate(live)}
    state_order = {graph.nodes[s.before].attributes[0]: i for i, s in enumerate(graph.states)}
    nodes = []
    for old in live:
        node = graph.nodes[old]
        attributes = tuple(reduce(a) if isinstance(a, Size) else a for a in node.attributes)
        if node.op == "state":
            attributes = (state_order[attributes[0]],)
        shape = Shape(node.shape.space, tuple(reduce(d) for d in node.shape.dims))
        _check_settled(tracer, shape, attributes)
        nodes.append(Node(node.op, tuple(place[i] for i in node.inputs), attributes, shape))
    states = tuple(replace(s, size=s.size and reduce(s.size), before=place[s.before], after=place[s.after])
                   for s in graph.states)
    parameters = tuple(ParameterInfo(p.name, place[p.node], nodes[place[p.node]].shape, p.trainable, p.init)
                       for p in graph.parameters)
    names = tuple((name, place[node]) for name, node in graph.names
                  if node in place and graph.nodes[node].op not in ("state", "input", "elapsed", "parameter", "constant"))
    return Graph(tuple(nodes), states, parameters, tuple(place[o] for o in graph.output), graph.output_states,
                 names, graph.forced_input and reduce(graph.forced_input))


def _check_settled(tracer: Tracer, shape: Shape, attributes: tuple[object, ...]) -> None:
    sizes = [*shape.dims, *(a for a in attributes if isinstance(a, Size))]
    if any(symbol.startswith(UNKNOWN) for size in sizes for symbol in size.symbols):
        tracer.fail("a size can't be settled; came a value tied to nothing; name it by @cell(sizes={...}) or rows=, cols=")
