"""A graph as text, LaTeX and DOT, with the author's names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from recell.graph.graph import Graph, Node
from recell.graph.ops import OPS
from recell.graph.size import Size

_PRECEDENCE = {"lt": 1, "le": 1, "gt": 1, "ge": 1, "eq": 1, "ne": 1, "add": 2, "sub": 2, "mul": 3, "div": 3, "mod": 3,
               "product": 3, "matmul": 3, "neg": 4}
_ATOM = 9


@dataclass(frozen=True)
class Style:
    """How leaves and operators look in one notation."""

    leaf: Callable[[Graph, Node], str]
    name: Callable[[str, bool], str]  # a named value, and whether it is of this step or of parameters alone
    operator: Callable[[str], str]
    call: Callable[[str, list[str], Node], str]
    group: Callable[[str], str]
    number: Callable[[float], str]


def _number(value: float) -> str:
    return f"{value:.12g}"


def _latex_number(value: float) -> str:
    """`2.5e-07` as papers write it; ten times a power is read as one number beside any operator but a power."""
    digits, _, exponent = _number(value).partition("e")
    return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits


def text(graph: Graph) -> str:
    """One equation a line: `i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)`."""
    style = Style(_text_leaf, lambda name, timed: f"{name}[t]" if timed else name, _text_operator, _text_call,
                  lambda inner: f"({inner})", _number)
    return "\n".join(f"{left} = {right}" for left, right in _equations(graph, style))


def latex(graph: Graph) -> str:
    """The same as a LaTeX aligned block."""
    style = Style(_latex_leaf, lambda name, timed: _latex_name(name, "t" if timed else None), _latex_operator, _latex_call,
                  lambda inner: rf"\left({inner}\right)", _latex_number)
    rows = [rf"  {left} &= {right}" for left, right in _equations(graph, style)]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def dot(graph: Graph, title: str) -> str:
    """The step graph for Graphviz: boxes are ops, dashed arrows carry a state to the next step."""
    names = display_names(graph)
    lines = [f'digraph "{title}" {{', "  rankdir=BT; node [shape=box, fontname=Helvetica];"]
    for place, node in enumerate(graph.nodes):
        label = names.get(place) or (_text_leaf(graph, node) if not node.inputs else node.op)
        if place in names:
            label = f"{names[place]} = {node.op}"
        shape = ", shape=ellipse" if OPS[node.op].kind == "leaf" else ""
        lines.append(f'  n{place} [label="{label}"{shape}];')
        lines += [f"  n{i} -> n{place};" for i in node.inputs]
    lines += [f"  n{s.after} -> n{s.before} [style=dashed, constraint=false];" for s in graph.states]
    return "\n".join([*lines, "}"])


def display_names(graph: Graph) -> dict[int, str]:
    """Node -> name: a state's new value bears the state's name; a name bound more than once is numbered but for its last
    binding, `u_1`, `u_2`, `u`. A number that would make another name of the cell is left out; `x` is the input alone, and
    what is made of parameters alone bears no parameter's name: `A_1 = A - A.T`."""
    final = {s.after: s.name for s in graph.states}
    last = dict(graph.names)
    parameters = {p.name for p in graph.parameters}
    taken = {*last, *(s.name for s in graph.states), *parameters}
    counts: dict[str, int] = {}
    result: dict[int, str] = {}
    for name, node in graph.names:
        is_last = last[name] == node and name != "x" and (node in final or name not in final.values())
        is_last = is_last and (graph.nodes[node].shape.is_row or name not in parameters)
        result[node] = name if is_last else _numbered(name, counts, taken)
    return {**result, **{node: name for node, name in final.items() if graph.nodes[node].inputs}}


def _numbered(name: str, counts: dict[str, int], taken: set[str]) -> str:
    """The next free `name_1`, `name_2`; `counts` goes on."""
    while True:
        counts[name] = counts.get(name, 0) + 1
        if (found := f"{name}_{counts[name]}") not in taken:
            return found


def _equations(graph: Graph, style: Style) -> list[tuple[str, str]]:
    names = display_names(graph)
    rows = []
    time = {s.after for s in graph.states if s.size is None}  # it counts steps: no equation of the author's
    for node in sorted(names.keys() - time):
        rows.append((style.name(names[node], graph.nodes[node].shape.is_row), _expression(graph, node, names, style)[0]))
    for state in graph.states:
        if names.get(state.after) != state.name and state.size is not None:
            rows.append((style.name(state.name, True), _operand(graph, state.after, names, style, 0)))
    unnamed = [n for n, s in zip(graph.output, graph.output_states, strict=True) if s < 0 and n not in names]
    rows += [(style.name("output", True), _operand(graph, n, names, style, 0)) for n in unnamed]
    return rows


def _operand(graph: Graph, node: int, names: dict[int, str], style: Style, outer: int, right: bool = False) -> str:
    if node in names:
        return style.name(names[node], graph.nodes[node].shape.is_row)
    inner, precedence = _expression(graph, node, names, style)
    needs_group = precedence < outer or (right and precedence == outer)
    return style.group(inner) if needs_group else inner


def _expression(graph: Graph, place: int, names: dict[int, str], style: Style) -> tuple[str, int]:
    node = graph.nodes[place]
    row = OPS[node.op]
    if (kept := _beside_one(graph, place, names)) is not None:
        named = kept in names
        return (_operand(graph, kept, names, style, 0), _ATOM) if named else _expression(graph, kept, names, style)
    if row.kind == "leaf" and node.op != "coin":
        if node.op == "constant":
            return style.number(node.attributes[0]), _ATOM if node.attributes[0] >= 0 else 4
        return style.leaf(graph, node), _ATOM
    normal = _normalised(graph, place, names)
    if normal is not None:
        value, eps = normal
        arguments = [_operand(graph, value, names, style, 0), *([style.number(eps)] if eps != 1e-5 else [])]
        return style.call("normalize", arguments, node), _ATOM
    if row.infix is not None:
        level, second = _PRECEDENCE[node.op], graph.nodes[node.inputs[1]]
        left = _operand(graph, node.inputs[0], names, style, level)
        if node.op == "add" and second.op == "neg" and node.inputs[1] not in names:  # a + -b
            return left + style.operator("sub") + _operand(graph, second.inputs[0], names, style, level, right=True), level
        right = _operand(graph, node.inputs[1], names, style, level, right=True)
        scales = node.op == "mul" and not all(graph.nodes[i].shape.dims for i in node.inputs)
        return left + style.operator("scale" if scales else node.op) + right, level
    if node.op == "neg":
        return "-" + _operand(graph, node.inputs[0], names, style, 4), 4
    level = _ATOM if node.op in ("transpose", "slice") else 0
    arguments = [_operand(graph, i, names, style, level) for i in node.inputs]
    return style.call(node.op, arguments, node), _ATOM


def _beside_one(graph: Graph, place: int, names: dict[int, str]) -> int | None:
    """The other operand of a product with 1, or of a quotient by 1: what a constant of a cell that is 1 leaves to be printed."""
    node = graph.nodes[place]
    for kept, other in ((1, 0), (0, 1)) if node.op == "mul" else ((0, 1),) if node.op == "div" else ():
        factor = node.inputs[other]
        if factor not in names and graph.nodes[factor].op == "constant" and graph.nodes[factor].attributes[0] == 1:
            return node.inputs[kept]
    return None


def _normalised(graph: Graph, place: int, names: dict[int, str]) -> tuple[int, float] | None:
    """(value, eps) of a node that is `normalize(value, eps)`: written out, it would repeat the value six times."""
    nodes = graph.nodes
    if nodes[place].op != "div":
        return None
    centred, deviation = nodes[place].inputs
    if nodes[centred].op != "sub" or nodes[deviation].op != "sqrt":
        return None
    value, mean = nodes[centred].inputs
    (shifted,) = nodes[deviation].inputs
    if (nodes[mean].op, nodes[mean].inputs) != ("mean", (value,)) or nodes[shifted].op != "add":
        return None
    variance, eps = nodes[shifted].inputs
    square = nodes[nodes[variance].inputs[0]] if nodes[variance].op == "mean" else nodes[place]
    if (square.op, square.inputs) != ("mul", (centred, centred)) or nodes[eps].op != "constant":
        return None
    return None if names.keys() & {centred, mean, deviation, variance} else (value, nodes[eps].attributes[0])


def _text_leaf(graph: Graph, node: Node) -> str:
    match node.op:
        case "input":
            return "x[t]"
        case "state":
            name = graph.states[node.attributes[0]].name
            return "t" if name == "t" else f"{name}[t-1]"
        case "parameter":
            return graph.parameters[node.attributes[0]].name
        case "elapsed":
            return "dt"
        case "extent":
            return str(node.attributes[0])
        case _:
            return node.op


def _text_operator(op: str) -> str:
    return " * " if op == "scale" else f" {OPS[op].infix} "


def _text_call(op: str, arguments: list[str], node: Node) -> str:
    match op:
        case "transpose":
            return f"{arguments[0]}.T"
        case "slice":
            start, size = node.attributes
            return f"{arguments[0]}[{start} : {start + size}]"
        case "coin":
            return f"coin({node.attributes[0]:g}, {node.attributes[1]})"
        case _:
            return f"{op}({', '.join(arguments)})"


def _latex_name(name: str, time: str | None) -> str:
    """`W_i` -> `W_{i}`, and a time index joins the subscript; several letters are upright."""
    head, *subscripts = name.split("_")
    head = head if len(head) == 1 else _greek(head)
    inside = ",".join([*(s if len(s) == 1 or s.isdecimal() else _greek(s) for s in subscripts), *([time] if time else [])])
    return head + (f"_{{{inside}}}" if inside else "")


_GREEK = re.compile(r"^(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|lambda|mu|nu|xi|rho|sigma|tau|phi|psi|omega"
                    r"|Gamma|Delta|Theta|Lambda|Xi|Sigma|Phi|Psi|Omega)$")


def _greek(word: str) -> str:
    return "\\" + word if _GREEK.match(word) else rf"\mathrm{{{word}}}"


def _latex_leaf(graph: Graph, node: Node) -> str:
    match node.op:
        case "input":
            return "x_{t}"
        case "state":
            name = graph.states[node.attributes[0]].name
            return "t" if name == "t" else _latex_name(name, "t-1")
        case "parameter":
            return _latex_name(graph.parameters[node.attributes[0]].name, None)
        case "elapsed":
            return r"\Delta t"
        case _:
            return _text_leaf(graph, node)


def _latex_operator(op: str) -> str:
    special = {"mul": r" \odot ", "scale": r" \, ", "div": " / ", "product": " ", "matmul": " ", "mod": r" \bmod "}
    return special.get(op) or f" {OPS[op].latex or OPS[op].infix} "


def _latex_size(size: Size) -> str:
    return re.sub(r"[a-z_]\w*", lambda word: rf"\mathrm{{{word[0]}}}", str(size).replace("*", r"\,")).replace("_", r"\_")


def _latex_call(op: str, arguments: list[str], node: Node) -> str:
    if op == "transpose":
        return rf"{{{arguments[0]}}}^\top"
    if op == "slice":
        start, size = node.attributes
        return rf"{{{arguments[0]}}}_{{[{_latex_size(start)} : {_latex_size(start + size)}]}}"
    if op == "coin":
        return rf"\operatorname{{coin}}\left({_latex_number(node.attributes[0])}\right)"
    head = (OPS[op].latex if op in OPS else None) or rf"\operatorname{{{op.replace('_', ' ')}}}"
    inside = ", ".join(arguments)
    return head.replace("#", inside) if "#" in head else rf"{head}\left({inside}\right)"
