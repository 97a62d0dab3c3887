"""A cell that carries its input past it: the layer and the connection around it, written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recell import cell, cells, sigmoid, tanh
from recell.compiler.build import Call, build
from recell.errors import CellError
from recell.language.carried import carry_input
from recell.language.cell import Cell


@cell(sizes={"v": "input", "c": "context"}, output=("o", "c"))
def Wide(p, x, h, c, v):
    """A local and a state side by side, a state as wide as x, a further size."""
    g = sigmoid(p.W @ x + p.V @ v)
    h = tanh(g + p.U @ h)
    o = h * g
    c = tanh(p.C @ x + c)
    return h, c, x


CASES = {"LSTM": (cells.get("LSTM"), 6, {}), "Wide": (Wide, 7, {"context": 2}), "SCRN": (cells.get("SCRN"), 8, {"context": 3})}


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("connection", ["residual", "highway"])
@pytest.mark.parametrize("name", CASES)
def test_the_output_is_that_of_the_layer_and_its_connection(name: str, connection: str, backend: str) -> None:
    plain, width, own = CASES[name]
    sizes = plain.resolve(width, width - sum(own.values()), own)
    made, rng = carry_input(plain, sizes, connection), np.random.default_rng(3)
    parameters = tuple(rng.normal(size=p.shape) for p in made.parameters(sizes))
    states = tuple(rng.normal(size=(4, size)) for size in plain.state_sizes(sizes))
    x = rng.normal(size=(5, 4, width))
    own_parameters = parameters[: len(plain.parameters(sizes))]
    kernel = build(plain, sizes, backend="reference", dtype="float64")
    wanted = kernel.forward(Call(x, states, own_parameters), save=False)
    expected = wanted.y + x
    if connection == "highway":
        gate = 1 / (1 + np.exp(-(x @ parameters[-2].T + parameters[-1])))
        expected = gate * wanted.y + (1 - gate) * x
    found = build(made, sizes, backend=backend, dtype="float64").forward(Call(x, states, parameters), save=False)
    np.testing.assert_allclose(found.y, expected, rtol=0, atol=1e-11)
    for value, other in zip(found.states, wanted.states, strict=True):
        np.testing.assert_allclose(value, other, rtol=0, atol=1e-11)


def test_it_is_a_cell_that_can_be_saved() -> None:
    sizes = Wide.resolve(7, 5, {"context": 2})
    made = carry_input(Wide, sizes, "highway")
    assert Cell.from_json(made.to_json()) == made
    assert [p.name for p in made.parameters(sizes)][-2:] == ["W_highway", "b_highway"]


def test_what_cannot_be_added_is_refused() -> None:
    lstm = cells.get("LSTM")
    with pytest.raises(CellError, match="the input 5 and the output 6"):
        carry_input(lstm, lstm.resolve(5, 6), "residual")

    @cell
    def Taken(p, x, h):
        return tanh(p.W_highway @ x + p.U @ h)

    with pytest.raises(CellError, match="has a parameter 'W_highway'"):
        carry_input(Taken, Taken.resolve(6, 6), "highway")
