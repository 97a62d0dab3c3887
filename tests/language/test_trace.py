"""Recording: what is a matrix and what a vector, which names there are, and where an error stands."""

from __future__ import annotations

import cProfile
import pstats

import numpy as np
import pytest

import recell
from recell import CellError, cell, cells, sigmoid, tanh, where
from recell.language.cell import Cell


def shapes(definition: Cell, input_size: int = 3, hidden_size: int = 5, **sizes: int) -> dict[str, tuple[int, ...]]:
    return {p.name: p.shape for p in definition.parameters(definition.resolve(input_size, hidden_size, sizes))}


def names(definition: Cell) -> list[str]:
    return [name for name, _ in definition.graph.names]


def test_matrices_stand_left_of_at_under_t_or_right_of_a_matrix_at() -> None:
    @cell
    def Kinds(p, x, h):
        return tanh(p.A @ x + (p.matrix("B", cols="hidden") @ p.C) @ h + p.D.T @ h + p.e * h + p.f)

    assert shapes(Kinds) == {"A": (5, 3), "B": (5, 5), "C": (5, 5), "D": (5, 5), "e": (5,), "f": (5,)}


def test_a_name_first_met_as_a_vector_may_turn_out_a_matrix() -> None:
    """Its recording starts again with that knowledge."""

    @cell
    def Late(p, x, h):
        half = p.M * 0.5
        return tanh(p.M @ h + half @ h + p.W @ x)

    assert shapes(Late) == {"M": (5, 5), "W": (5, 3)}


def test_an_expression_of_vectors_is_no_matrix() -> None:
    with pytest.raises(CellError, match="left of @ must stand a matrix; came difference .*or declare p.matrix"):

        @cell
        def Wrong(p, x, h):
            difference = p.M - p.N
            return tanh(difference @ h + p.W @ x)


def test_a_declared_matrix_is_one_wherever_it_stands_first() -> None:
    @cell
    def Declared(p, x, h):
        M = p.matrix("M") - p.M.T
        return tanh(M @ h + p.W @ x)

    assert shapes(Declared) == {"M": (5, 5), "W": (5, 3)}


def test_numbering_is_by_first_use_and_declarations_take_sizes() -> None:
    @cell(defaults={"rank": 2})
    def Declared(p, x, h):
        low = p.matrix("V", rows="rank") @ x
        return tanh(p.matrix("U") @ low + p.vector("b", rows="hidden", trainable=False) + p.scalar("k", init=0.5) * h)

    assert list(shapes(Declared).items()) == [("V", (2, 3)), ("U", (5, 2)), ("b", (5,)), ("k", ())]
    assert shapes(Declared, rank=4)["U"] == (5, 4)
    info = {p.name: p for p in Declared.parameters(Declared.resolve(3, 5))}
    assert not info["b"].trainable and info["V"].trainable and info["k"].init == 0.5


def test_a_second_declaration_of_another_kind_is_refused() -> None:
    with pytest.raises(CellError, match="the parameter 'b' is already a vector .*declare it at first use"):

        @cell
        def Twice(p, x, h):
            a = p.vector("b") * h
            return tanh(p.matrix("b") @ x + a)


def test_a_vector_used_as_a_matrix_is_refused() -> None:
    with pytest.raises(CellError, match="left of @ must stand a matrix; came b .*declare p.matrix"):

        @cell
        def Mixed(p, x, h):
            return tanh(p.vector("b") * h + p.b @ x)


def test_locals_keep_their_names_in_order() -> None:
    assert names(cells.LSTM) == ["i", "f", "g", "o", "c", "h"]


def test_only_the_cell_functions_own_locals_are_named() -> None:
    def gate(p, k, x, h):
        inside = p[f"W_{k}"] @ x + p[f"U_{k}"] @ h
        return sigmoid(inside)

    @cell
    def Helped(p, x, h):
        z = gate(p, "z", x, h)
        return z * tanh(gate(p, "n", x, h)) + (1 - z) * h

    assert names(Helped) == ["z"]


def test_a_list_gives_numbered_names() -> None:
    @cell
    def Listed(p, x, h):
        u = [p.A @ x, tanh(p.B @ h)]
        return u[0] * u[1]

    assert names(Listed) == ["u_0", "u_1"]


def test_names_are_found_in_exec_and_in_lambdas_of_the_cell() -> None:
    space: dict = {"cell": cell, "tanh": tanh}
    exec("@cell\ndef Run(p, x, h):\n    inner = p.W @ x\n    return tanh(inner + (lambda v: p.u * v)(h))\n", space)
    assert names(space["Run"]) == ["inner"]


def test_the_last_binding_is_seen_at_the_return() -> None:
    @cell(output="last")
    def Bound(p, x, h):
        h = tanh(p.W @ x + p.U @ h)
        last = h
        return h

    assert "last" in names(Bound)


def test_loops_over_constants_unroll() -> None:
    @cell
    def Highway(p, x, h, *, depth=3):
        """Zilly et al. (2017)."""
        for k in range(depth):
            inner = p[f"R_{k}"] @ h + p[f"b_{k}"]
            if k == 0:
                inner = inner + p.W @ x
            h = tanh(inner) * 0.5 + h * 0.5
        return h

    assert len(shapes(Highway)) == 7 and len(shapes(Highway(depth=5))) == 11


# -- errors name their line -----------------------------------------------------------------------------------------------


def test_an_undefined_name() -> None:
    with pytest.raises(CellError, match=r"Undefined, line \d+: name 'W' is not defined.*write p.NAME for a parameter"):

        @cell
        def Undefined(p, x, h):
            return tanh(W @ x + h)  # noqa: F821 # pyright: ignore


def test_the_line_is_that_of_the_op() -> None:
    def Lined(p, x, h):
        a = p.W @ x
        b = tanh(a)
        return where(b > 0, b, h * h @ h)

    with pytest.raises(CellError, match=f"Lined, line {Lined.__code__.co_firstlineno + 3}: "):
        cell(Lined)


def test_an_error_in_a_helper_stands_at_the_cells_own_line() -> None:
    def helper(v):
        return v**2

    def Helped(p, x, h):
        return tanh(helper(p.W @ x)) + h

    with pytest.raises(CellError, match=f"Helped, line {Helped.__code__.co_firstlineno + 1}: "):
        cell(Helped)


def test_the_profiler_is_given_back() -> None:
    import sys

    seen = []

    def watch(frame, event, argument):
        seen.append(event)

    sys.setprofile(watch)
    try:

        @cell
        def Watched(p, x, h):
            return tanh(p.W @ x + h)

        assert sys.getprofile() is watch
    finally:
        sys.setprofile(None)
    assert isinstance(Watched, Cell)


BAD_INITS = {
    "no such name": (lambda p: p.matrix("U", init="orthogonl"), "'U' names no initialiser.* write orthogonal"),
    "a matrix's for a vector": (lambda p: p.vector("U", init="identity_"), "'identity_' fills a matrix; came 'U', a vector"),
    "a matrix's for a scalar": (lambda p: p.scalar("U", init="glorot"), "'glorot' fills a matrix; came 'U', a scalar"),
    "no number": (lambda p: p.vector("U", init=float("nan")), "came nan; write"),
    "a truth": (lambda p: p.vector("U", init=True), "came True; write"),
    "a list": (lambda p: p.vector("U", init=[1.0]), r"came \[1.0\]; write"),
}


@pytest.mark.parametrize("case", BAD_INITS)
def test_a_bad_init_is_found_at_definition(case: str) -> None:
    declare, words = BAD_INITS[case]
    with pytest.raises(CellError, match=f"line .*{words}"):

        @cell
        def Wrong(p, x, h):
            u = declare(p)
            return tanh(p.W @ x + (u @ h if case == "no such name" else u * h))


def test_a_good_init_is_kept() -> None:
    def ones(shape):
        return np.ones(shape)

    @cell
    def Right(p, x, h):
        u = p.matrix("U", init="orthogonal_") @ h + p.matrix("V", init=ones) @ h
        return tanh(p.W @ x + u + p.vector("b", init=np.float32(0.5)) + p.scalar("s", init="uniform_fan_in"))

    kept = {q.name: q.init for q in Right.parameters(Right.resolve(3, 5))}
    assert kept == {"U": "orthogonal_", "V": ones, "W": None, "b": 0.5, "s": "uniform_fan_in"}


NOWHERE = {
    "the tracer's own": ("tanh(h @ x)", "left of @"),
    "an op's arguments": ("tanh(h, x)", "tanh takes 1 argument"),
    "an op of numbers": ("mean(2.0) * h", "mean reads a vector"),
    "a rate": ("dropout(h, 2.0)", "the rate of dropout"),
    "a size": ("p.matrix('W', rows='2*') @ h", "a size must be"),
    "a name": ("tanhh(h)", "'tanhh' is not defined"),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_a_cell_without_a_source_file_names_its_line(case: str) -> None:
    wrong, words = NOWHERE[case]
    source = f"@cell\ndef Typed(p, x, h):\n    u = p.U @ x\n    v = {wrong}\n    return u + v\n"
    with pytest.raises(CellError, match=rf"^Typed, line 4: .*{words}") as caught:
        exec(source, vars(recell) | {"cell": cell})
    assert "\n" not in str(caught.value)


def test_a_cell_is_traced_under_a_profiler() -> None:
    """cProfile's own object is no function: it is stopped while a cell's locals are read, and goes on afterwards."""
    profiler = cProfile.Profile()
    profiler.enable()

    def after() -> None: ...

    try:

        @cell
        def Profiled(p, x, h):
            z = p.W @ x + h
            return z

        after()
    finally:
        profiler.disable()
    assert names(Profiled) == ["z"]
    assert any(key[2] == "after" for key in pstats.Stats(profiler).stats)
