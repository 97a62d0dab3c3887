"""A Cell: immutable, compared by what it computes, with constants, sizes and states; it pickles as its graph."""

from __future__ import annotations

import copy
import functools
import json
import pickle

import numpy as np
import pytest

from recell import Cell, CellError, ModelError, ShapeError, cell, cells, relu, sigmoid, tanh
from tests.contract.descriptions import NAMES, cell_named
from tests.contract.harness import agree, case_of, forward, make


def scaled(p, x, h, *, rate=0.5, deep=False, kind="tanh", activation=tanh):
    h = activation(p.W @ x + p.U @ h) * rate
    return tanh(h) if deep else h


Scaled = cell(scaled)


# -- constants ------------------------------------------------------------------------------------------------------------


def test_constants_give_new_cells() -> None:
    faster = Scaled(rate=0.9)
    assert faster != Scaled and Scaled(rate=0.5) == Scaled and faster(rate=0.5) == Scaled
    assert Scaled(deep=True) != Scaled and Scaled(activation=relu) != Scaled
    assert Scaled(kind="other") == Scaled  # a constant that changes no equation changes no cell
    assert faster(deep=True) == Scaled(rate=0.9, deep=True)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: Scaled(0.3), "scaled takes its constants by name; came 1 positional; write scaled(name=value)"),
    (lambda: Scaled(rat=1), "scaled has no constant 'rat'; there is no constant of this name; came 'rat'; write rate"),
    (lambda: cells.MGU(rate=1), "MGU has no constants; came rate; write MGU"),
    (lambda: Scaled(rate=None), "the constant 'rate' of scaled must be a number, string, boolean, op, or a tuple of them"),
    (lambda: Scaled(rate=None), "came NoneType"),
    (lambda: Scaled(rate=[1, 2]), "came list; write a number or a tuple"),
    (lambda: Scaled(rate=(1, [2])), "came list"),
    (lambda: Cell.from_json(Scaled.to_json())(rate=1), "is closed: its constants are fixed"),
])  # fmt: skip
def test_wrong_constants_are_refused(call, words: str) -> None:
    with pytest.raises(CellError) as caught:
        call()
    assert words in str(caught.value)


def open_cell(p, x, h, *, rate, periods):
    return tanh(p.W @ x + rate * h) * len(periods)


def test_an_open_cell_names_its_constants_when_it_is_used() -> None:
    made = cell(open_cell)
    assert made.open_constants == ("rate", "periods") and repr(made) == "Cell(open_cell, open: rate, periods)"
    line = r"open_cell needs its constants first: rate, periods; came none; write open_cell\(rate=...\)"
    uses = (lambda: made.states, made.equations, made.__hash__, lambda: made.resolve(3, 4), made.to_json)
    for use in uses:
        with pytest.raises(CellError, match=line):
            use()
    assert made(rate=0.5).open_constants == ("periods",)
    assert made(rate=0.5)(periods=(1, 2)) == made(rate=0.5, periods=(1, 2))


# -- time -----------------------------------------------------------------------------------------------------------------


def test_time_is_the_last_state_and_counts() -> None:
    @cell
    def Timed(p, x, t, h, dt):
        return tanh(p.W @ x + h) * dt + 0 * h * (t % 2)

    assert [(s.name, s.size is None) for s in Timed.states] == [("h", False), ("t", True)]
    assert Timed.uses_time and Timed.uses_elapsed and Timed.state_sizes({"input": 3, "hidden": 5}) == (5, 1)
    case = make(Timed, Timed.resolve(3, 5), steps=4, rows=2)
    assert forward(case, "reference")["last t"].tolist() == [[4.0], [5.0]]


# -- sizes ----------------------------------------------------------------------------------------------------------------


def test_resolve_gives_every_symbol_a_number() -> None:
    assert cells.SCRN.resolve(3, 5) == {"input": 3, "hidden": 5, "context": 40}
    assert cells.SCRN.resolve(3, 5, {"context": 7})["context"] == 7


WHOLE = "must be a whole number of at least 1"


@pytest.mark.parametrize(("call", "words"), [
    (lambda: cells.SCRN.resolve(3, 5, {"contex": 7}), "there is no size of SCRN of this name; came 'contex'"),
    (lambda: cells.Jordan.resolve(3, 5), "Jordan needs a number for output; came ['hidden', 'input']; write sizes="),
    (lambda: cells.LSTM.resolve(0, 5), f"the size 'input' of LSTM {WHOLE}; came 0; write input_size=64"),
    (lambda: cells.LSTM.resolve(3, 5.0), f"the size 'hidden' of LSTM {WHOLE}; came 5.0; write hidden_size=64"),
    (lambda: cells.LSTM.resolve(3, True), f"{WHOLE}; came True"),
    (lambda: cells.SCRN.resolve(3, 5, {"context": -1}), f"the size 'context' of SCRN {WHOLE}; came -1"),
    (lambda: cell_named("Clockwork").resolve(3, 7), f"hidden/4 {WHOLE}; came 1.75 with hidden = 7"),
    (lambda: cells.LSTM.parameters({"input": 3, "hidden": 5, "hiden": 5}), "no size of LSTM of this name; came 'hiden'"),
    (lambda: cells.LSTM.parameters({"hidden": 5}), "LSTM needs a number for input; came ['hidden']"),
    (lambda: cells.RGLRU.parameters({"input": 3, "hidden": 5}), "RGLRU needs an input as wide as hidden, 5; came input_size=3"),
    (lambda: cells.RGLRU.stash_floats({"input": 3, "hidden": 5}), "RGLRU needs an input as wide as hidden, 5"),
])  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(call, words: str) -> None:
    with pytest.raises(ShapeError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["SCRN", "CfC", "LMU"])
def test_sizes_with_numbers_of_their_own_may_be_left_out(name: str) -> None:
    definition, few = cells.get(name), {"input": 8, "hidden": 8}
    every = definition.resolve(8, 8)
    assert every != few
    for said in (definition.parameters, definition.stash_floats, definition.state_sizes, definition.output_size):
        assert said(few) == said(every)


def test_what_a_cell_says_of_itself() -> None:
    sizes = cells.Jordan.resolve(3, 5, {"output": 7})
    assert cells.Jordan.brings_output and not cells.LSTM.brings_output
    assert cells.Jordan.output_size(sizes) == 7 and cells.Jordan.state_sizes(sizes) == (7,)
    assert cell_named("Normed").has_coins and not cells.LSTM.has_coins
    shapes = {p.name: p.shape for p in cells.Jordan.parameters(sizes)}
    assert shapes == {"W": (5, 3), "U": (5, 7), "b": (5,), "V": (7, 5), "c": (7,)}


# -- identity -------------------------------------------------------------------------------------------------------------


def test_names_do_not_count_but_everything_else_does() -> None:
    @cell
    def One(p, x, h):
        gate = sigmoid(p.W @ x + p.U @ h)
        return gate * h

    @cell
    def Two(p, x, s):
        return sigmoid(p.A @ x + p.B @ s) * s

    assert One == Two and hash(One) == hash(Two) and One.key == Two.key and len({One, Two}) == 1

    @cell
    def Swapped(p, x, h):
        gate = sigmoid(p.U @ h + p.W @ x)
        return gate * h

    assert Swapped != One
    for other in (cell(initial={"h": 1.0}), cell(output="gate"), cell(sizes={"h": "context"})):
        assert other(one_again) != cell(one_again)
    assert One != "One" and One != None  # noqa: E711


def one_again(p, x, h):
    gate = sigmoid(p.W @ x + p.U @ h)
    return gate * h


def test_trainability_counts_and_initialisers_do_not() -> None:
    def with_vector(**options):
        @cell
        def Vector(p, x, h):
            return tanh(p.W @ x + p.vector("b", **options) + h)

        return Vector

    assert with_vector() == with_vector(init=0.5) != with_vector(trainable=False)


def test_a_cell_is_immutable() -> None:
    with pytest.raises(CellError, match="a Cell is immutable; came an assignment to 'name'; write a new cell"):
        cells.LSTM.name = "Other"


@pytest.mark.parametrize("name", NAMES)
def test_it_pickles_and_copies_as_its_graph(name: str) -> None:
    definition = cell_named(name)
    back = pickle.loads(pickle.dumps(definition))  # noqa: S301
    assert back == definition and back.name == definition.name and back.equations() == definition.equations()
    assert copy.deepcopy(definition) == definition
    case = case_of(name, steps=2)
    again = make(back, case.sizes, steps=2, seed=len(name) + case.sizes["hidden"])
    agree(forward(again, "reference"), forward(case, "reference"), tolerance=0.0)


def ramp(shape, scale=1.0):
    return np.arange(shape[0], dtype=float) * scale


@cell
def Started(p, x, h):
    u = p.vector("u", init=functools.partial(ramp, scale=2.0))
    h = tanh(p.matrix("W", init="glorot") @ x + u * h + p.vector("b", init=3))
    return h


def test_a_pickle_keeps_how_parameters_start() -> None:
    back = pickle.loads(pickle.dumps(Started))  # noqa: S301
    inits = {p.name: p.init for p in back.parameters(back.resolve(3, 4))}
    assert inits["W"] == "glorot" and inits["b"] == 3 and inits["u"]((3,)).tolist() == [0, 2, 4]
    twice = pickle.loads(pickle.dumps(back))  # noqa: S301
    assert {p.name: str(p.init) for p in twice.parameters(back.resolve(3, 4))} == {n: str(i) for n, i in inits.items()}


def test_a_start_that_no_module_names_is_missed_when_it_is_drawn() -> None:
    @cell
    def Nameless(p, x, h):
        h = tanh(p.W @ x + p.vector("u", init=lambda shape: np.ones(shape)) * h)
        return h

    back = pickle.loads(pickle.dumps(Nameless))  # noqa: S301
    assert back == Nameless
    lost = {p.name: p.init for p in back.parameters(back.resolve(3, 4))}["u"]
    with pytest.raises(CellError, match="how u starts"):
        lost((4,))


def test_the_data_is_plain_and_holds_no_code() -> None:
    text = json.dumps(cell_named("Normed").to_json())
    assert "def " not in text and "lambda" not in text and "init" not in json.loads(text)["graph"]["parameters"][0]


def test_frozen_parameters_stay_frozen_when_saved() -> None:
    @cell
    def Frozen(p, x, h):
        return tanh(p.matrix("W", trainable=False) @ x + p.U @ h)

    assert [p.trainable for p in Cell.from_json(Frozen.to_json()).graph.parameters] == [False, True]


def test_a_graph_that_does_not_verify_is_refused() -> None:
    data = cells.LSTM.to_json()
    data["graph"]["nodes"][-1][0] = "warp"
    with pytest.raises(ModelError, match="unknown op 'warp'; came a damaged or foreign graph; save the model again"):
        Cell.from_json(data)
