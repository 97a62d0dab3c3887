"""A cell whose resets restore parameters: every backend computes it and its gradients, whatever the cell."""

from __future__ import annotations

import numpy as np
import pytest

import recell
from recell import CellError, ModelError, cell, cells, tanh
from recell.compiler.build import Call, Variant, build
from recell.language.cell import Cell
from recell.language.restored import learn_initial
from recell.modifiers import dilation, layer_norm, recurrent_dropout, weight_drop, zoneout
from tests.contract.descriptions import NAMES, cell_named

MODIFIED = cells.LSTM.with_(layer_norm(), zoneout(h=0.1, c=0.2), recurrent_dropout(0.3), weight_drop(0.2), dilation(2))


@pytest.mark.parametrize("made", [*map(cell_named, NAMES), MODIFIED], ids=[*NAMES, "modified"])
def test_every_backend_agrees_and_the_gradients_are_those_of_differences(made: Cell) -> None:
    report = recell.verify(learn_initial(made))
    assert report.ok and all(line.error is not None for line in report.lines), str(report)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_what_enters_a_reset_step_is_the_parameter_and_elsewhere_nothing_changes(backend: str) -> None:
    made, rng = learn_initial(cells.LSTM), np.random.default_rng(1)
    sizes = made.resolve(3, 5)
    parameters = tuple(rng.normal(size=p.shape) for p in made.parameters(sizes))
    assert [p.name for p in made.parameters(sizes)[-2:]] == ["initial_h", "initial_c"]
    x, given = rng.normal(size=(4, 2, 3)), tuple(rng.normal(size=(2, 5)) for _ in range(2))
    reset = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    kernel = build(made, sizes, backend=backend, dtype="float64", variant=Variant(reset=True))
    y = kernel.forward(Call(x, given, parameters, reset=reset), save=False).y
    plain = build(cells.LSTM, sizes, backend="reference", dtype="float64")

    def run(first: int, last: int, row: int, states: tuple[np.ndarray, ...]) -> np.ndarray:
        part = np.ascontiguousarray(x[first:last, row : row + 1])
        return plain.forward(Call(part, tuple(s.reshape(1, 5) for s in states), parameters[:-2]), save=False).y

    entered, fresh = tuple(s[0] for s in given), parameters[-2:]
    np.testing.assert_allclose(y[:, :1], np.concatenate([run(0, 2, 0, entered), run(2, 4, 0, fresh)]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(y[:, 1:], run(0, 4, 1, fresh), rtol=0, atol=1e-12)


def test_it_is_another_cell_that_starts_as_the_first_and_goes_through_data() -> None:
    @cell(initial={"n": 2.0})
    def Timed(p, x, h, n, t):
        n = tanh(p.W @ x + p.U @ h) + n * t
        return tanh(n), n

    made = learn_initial(Timed)
    assert made != Timed and Cell.from_json(made.to_json()) == made
    assert [(p.name, p.init) for p in made.parameters(made.resolve(3, 5))[-2:]] == [("initial_h", 0.0), ("initial_n", 2.0)]
    assert [state.restored for state in made.states] == [2, 3, None]
    data = made.to_json()
    data["graph"]["states"][0][-1] = 0
    with pytest.raises(ModelError, match="state 0 restores a matrix"):
        Cell.from_json(data)
    data["graph"]["states"][0][-1] = 9
    with pytest.raises(ModelError, match="state 0 restores no parameter"):
        Cell.from_json(data)


def test_a_parameter_of_such_a_name_is_refused() -> None:
    @cell
    def Named(p, x, h):
        return tanh(p.W @ x + p.initial_h * h)

    with pytest.raises(CellError, match="Named has a parameter 'initial_h'"):
        learn_initial(Named)
