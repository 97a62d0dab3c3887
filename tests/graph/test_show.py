"""What is printed is what is computed: the equations' text, run as NumPy, gives the reference's values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import recell
from recell import cell, cells, concat, sigmoid, softplus, split, sqrt, tanh
from recell.modifiers import zoneout
from tests.contract.descriptions import NAMES, cell_named
from tests.contract.harness import Case, agree, case_of, make, trace


def centred(a: Any) -> Any:
    return a - a.mean(0)


# The text speaks of one row's vectors; here a column each, so that `W @ x` is NumPy's.
ENVIRONMENT: dict[str, Any] = {
    "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "exp": np.exp, "softplus": lambda a: np.log1p(np.exp(a)),
    "relu": lambda a: np.maximum(a, 0), "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos,
    "maximum": np.maximum, "abs": np.abs, "where": np.where, "sum": lambda a: a.sum(0, keepdims=True), "sequence": 0, "step": 0,
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(0), "coin": lambda rate, per: rate, "concat": lambda *p: np.concatenate(p),
    "normalize": lambda a, eps=1e-5: centred(a) / np.sqrt((centred(a) ** 2).mean(0) + eps),
}  # fmt: skip


def run_text(case: Case) -> dict[str, np.ndarray]:
    """One step from the case's states, every printed line in its order."""
    values = dict(ENVIRONMENT) | dict(case.sizes)
    for info, array in zip(case.cell.graph.parameters, case.parameters, strict=True):
        values[info.name] = array[:, None] if array.ndim == 1 else array
    for state, array in zip(case.cell.states, case.states, strict=True):
        values["t" if state.name == "t" else f"before_{state.name}"] = array.T
    values["now_x"] = case.x[0].T
    values["dt"] = None if case.elapsed is None else case.elapsed[0][None]
    found = {}
    for line in case.cell.equations().splitlines():
        python = re.sub(r"(\w+)\[t\]", r"now_\1", line)
        python = re.sub(r"(\w+)\[t-1\]", r"before_\1", python)
        left, right = python.split(" = ", 1)
        right = re.sub(r"\[(.*?) : (.*?)\]", r"[round(\1) : round(\2)]", right)
        values[left] = eval(right, {"__builtins__": {}, "round": round}, values)  # noqa: S307
        found[left.removeprefix("now_")] = np.asarray(values[left]).T
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_what_is_computed(name: str) -> None:
    case = case_of(name, steps=1)
    printed, expected = run_text(case), trace(case, "reference")
    states = {s.name for s in case.cell.states} - {"t"}
    assert states <= printed.keys()
    common = {n: v[0] for n, v in expected.items() if n in printed and n not in _rebound(case)}
    agree({n: printed[n] for n in common}, common)


def _rebound(case: Case) -> set[str]:
    """Locals whose last binding is printed under a state's name."""
    after = {s.after for s in case.cell.states}
    return {n for n, node in case.cell.graph.names if node in after} - {s.name for s in case.cell.states}


@cell
def Nested(p, x, h):
    """Every precedence that could go wrong."""
    a = (p.a - (x - h)) / (2 + h * h / (1 + x * x)) - -h * 2 + (x > h) % 3
    b = (1 - 2 * (h + 1)) * 0.5 + (-h) * x - (-x) - (x - (h - 1)) - 2 / (3 + h) / 4
    c, d = split(tanh(p.W @ (p.V @ concat(x, h) + h) + (p.W - p.W.T) @ h), 2)
    return concat(c * (d + 1), split(a - b, 2)[1])


def test_precedence() -> None:
    case = make(Nested, Nested.resolve(6, 6), steps=1)
    agree({"h": run_text(case)["h"]}, {"h": trace(case, "reference")["h"][0]})


def test_a_factor_of_one_is_not_printed_wherever_it_stands() -> None:
    @cell
    def Scaled(p, x, h, *, one=1.0, two=2.0):
        u = one * tanh(p.W @ x) * one
        v = one * (two * u) + (one * (u - h)) / one
        h = (one * h - one * (u + v)) * (one / two)
        return h

    assert Scaled.equations().split("\n") == [
        "u[t] = tanh(W @ x[t])", "v[t] = 2 * u[t] + (u[t] - h[t-1])", "h[t] = (h[t-1] - (u[t] + v[t])) * 0.5",
    ]  # fmt: skip
    assert Scaled(one=3.0).equations().split("\n")[0] == "u[t] = 3 * tanh(W @ x[t]) * 3"
    assert "1 * " not in cells.get("LEM").equations() and r"1 \, " not in cells.get("LEM").latex()


def test_the_lstm_is_printed_as_it_was_written() -> None:
    assert cells.LSTM.equations().splitlines() == [
        "i[t] = sigmoid(W_i @ x[t] + U_i @ h[t-1] + b_i)",
        "f[t] = sigmoid(W_f @ x[t] + U_f @ h[t-1] + b_f)",
        "g[t] = tanh(W_g @ x[t] + U_g @ h[t-1] + b_g)",
        "o[t] = sigmoid(W_o @ x[t] + U_o @ h[t-1] + b_o)",
        "c[t] = f[t] * c[t-1] + i[t] * g[t]",
        "h[t] = o[t] * tanh(c[t])",
    ]
    assert r"  c_{t} &= f_{t} \odot c_{t-1} + i_{t} \odot g_{t} \\" in cells.LSTM.latex().splitlines()


def test_a_name_bound_again_is_numbered_but_for_the_last() -> None:
    @cell
    def Twice(p, x, h):
        u = p.W @ x
        u = tanh(u) + h
        return u * 0.5

    assert Twice.equations().splitlines() == ["u_1[t] = W @ x[t]", "u[t] = tanh(u_1[t]) + h[t-1]", "h[t] = u[t] * 0.5"]


def test_an_input_bound_again_is_numbered_for_x_is_what_comes_in() -> None:
    @cell
    def Gated(p, x, h):
        x = tanh(p.Q @ h) * x
        return tanh(p.W @ x)

    assert Gated.equations().splitlines() == ["x_1[t] = tanh(Q @ h[t-1]) * x[t]", "h[t] = tanh(W @ x_1[t])"]
    case = make(Gated, Gated.resolve(5, 7), steps=1)
    agree({"h": run_text(case)["h"]}, {"h": trace(case, "reference")["h"][0]})


@cell
def Skewed(p, x, h):
    """Locals that are called as parameters are."""
    A = p.A - p.A.T
    W = p.W @ x
    return h + tanh(A @ h + W)


def test_what_is_made_of_parameters_alone_bears_no_parameters_name() -> None:
    assert Skewed.equations().splitlines() == ["A_1 = A - A.T", "W[t] = W @ x[t]", "h[t] = h[t-1] + tanh(A_1 @ h[t-1] + W[t])"]
    assert r"A_{1} &= A - {A}^\top" in Skewed.latex()
    case = make(Skewed, Skewed.resolve(4, 5), steps=1)
    agree({"h": run_text(case)["h"]}, {"h": trace(case, "reference")["h"][0]})


@cell
def Deep(p, x, h):
    """A loop that binds one name again and again, beside names that look like its numbers."""
    h_2 = p.W @ x
    for k in range(12):
        h = tanh(p[f"U_{k}"] @ h + h_2)
    return h


def test_a_loops_bindings_are_numbered_past_other_names() -> None:
    names = [line.split("[t] = ")[0] for line in Deep.equations().splitlines()]
    assert names == ["h_2", "h_1", *(f"h_{k}" for k in range(3, 13)), "h"]
    assert "h_{12,t} &=" in Deep.latex() and "'" not in Deep.latex() + Deep.equations() + Deep.diagram()
    case = make(Deep, Deep.resolve(5, 7), steps=1)
    printed = run_text(case)
    agree({"h": printed["h"]}, {"h": trace(case, "reference")["h"][0]})


def test_time_has_no_equation() -> None:
    assert "t[t]" not in cell_named("Clockwork").equations()


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_well_formed(name: str) -> None:
    """Braces and pairs are closed, nothing has two subscripts, a row for every line of text, Greek and words as such."""
    definition = cell_named(name)
    latex = definition.latex()
    rows = latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}").split(" \\\\\n")
    assert len(rows) == len(definition.equations().splitlines())
    for row in rows:
        assert row.count("&=") == 1 and "*" not in row and "@" not in row
        assert row.count(r"\left") == row.count(r"\right")
        depth = 0
        for i, letter in enumerate(row):
            depth += (letter == "{") - (letter == "}")
            assert depth >= 0
            assert row[i : i + 3] != "}_{" or _closes_a_group(row[: i + 1]), row
        assert depth == 0


def _closes_a_group(text: str) -> bool:
    """The brace at the end closes a plain group or a command's argument, not a subscript."""
    depth = 0
    for i in reversed(range(len(text))):
        depth += (text[i] == "}") - (text[i] == "{")
        if depth == 0:
            return i == 0 or text[i - 1] != "_"
    return False


def test_latex_names() -> None:
    @cell
    def Named(p, x, h):
        return tanh(p.W_i_gain * (p.Omega_1 @ x)) + p.alpha * h + p.scalar("eps_2")

    assert Named.latex().splitlines()[1] == (
        r"  h_{t} &= \tanh\left(W_{i,\mathrm{gain}} \odot \left(\Omega_{1} x_{t}\right)\right)"
        r" + \alpha \odot h_{t-1} + \mathrm{eps}_{2}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_diagram_has_every_node_and_edge(name: str) -> None:
    definition = cell_named(name)
    lines = definition.diagram().splitlines()
    assert lines[0] == f'digraph "{definition.name}" {{' and lines[-1] == "}"
    graph = definition.graph
    assert sum("label=" in line for line in lines) == len(graph.nodes)
    edges = {tuple(map(int, m.groups())) for line in lines if (m := re.match(r"  n(\d+) -> n(\d+);", line))}
    assert edges == {(i, place) for place, node in enumerate(graph.nodes) for i in node.inputs}
    dashed = {tuple(map(int, m.groups())) for line in lines if (m := re.match(r"  n(\d+) -> n(\d+) \[style=dashed", line))}
    assert dashed == {(s.after, s.before) for s in graph.states}


def test_what_depends_on_parameters_alone_bears_no_time() -> None:
    @cell
    def Decay(p, x, h):
        decay = sigmoid(p.Lambda)
        h = decay * h + p.W @ x
        return h

    assert Decay.equations().splitlines()[0] == "decay = sigmoid(Lambda)"
    assert r"\mathrm{decay} &= \sigma\left(\Lambda\right)" in Decay.latex()


def test_what_papers_write_in_their_own_way() -> None:
    @cell
    def Written(p, x, h):
        return sqrt(recell.abs(x) + 2.5e-7) + -softplus(-(h - x)) + -(p.a - h)

    assert Written.equations() == "h[t] = sqrt(abs(x[t]) + 2.5e-07) - softplus(-(h[t-1] - x[t])) - (a - h[t-1])"
    assert Written.latex().splitlines()[1] == (
        r"  h_{t} &= \sqrt{\left|x_{t}\right| + 2.5 \cdot 10^{-7}}"
        r" - \operatorname{softplus}\left(-\left(h_{t-1} - x_{t}\right)\right) - \left(a - h_{t-1}\right)"
    )
    assert r"\operatorname{coin}\left(0.25\right) \odot h_{t-1}" in cells.Elman.with_(zoneout(h=0.25)).latex()
