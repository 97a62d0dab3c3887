from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import Cell, CellError, cell, cells, tanh
from recell.modifiers import dilation, zoneout
from tests.contract import harness
from tests.language.modifiers import laws

STEPS = 7


def interleaved(plain: Cell, k: int) -> None:
    """Steps j, j + k, j + 2k, ... of the dilated cell are a run of the plain cell of their own."""
    dilated = plain.with_(dilation(k))
    hidden = 6 if plain.uses_time else 5  # the clockwork cell has three modules of one size
    case = harness.make(dilated, harness.sizes_of(dilated, hidden), steps=STEPS)
    own = [s.name for s in plain.states]
    values = dict(zip((s.name for s in dilated.states), case.states, strict=True))
    values |= {"t": np.zeros((case.rows, 1))} if plain.uses_time else {}
    case = replace(case, states=tuple(values.values()))
    found = harness.forward(case, "reference")
    for j in range(k):
        delay = k - 1 - j  # step j reads the oldest copy, the step after it the next younger one
        start = tuple(values[n if delay == 0 or n == "t" else f"{n}_ago_{delay}"] for n in own)
        run = replace(case.at(slice(j, None, k), start), cell=plain)
        alone = harness.forward(run, "reference")
        np.testing.assert_allclose(found["y"][j::k], alone["y"], atol=1e-12)
        last = (STEPS - 1 - j) % k
        for name in own:
            if name != "t":
                copy = name if last == 0 else f"{name}_ago_{last}"
                np.testing.assert_allclose(found[f"last {copy}"], alone[f"last {name}"], atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "PeepholeLSTM"])
def test_equals_interleaved_runs(name: str, k: int) -> None:
    interleaved(cells.get(name), k)


@pytest.mark.parametrize("name", ["Clockwork", "QRNN", "SLSTM"])  # time; a state that is the last input; starts that are not 0
def test_equals_interleaved_runs_of_hard_cells(name: str) -> None:
    interleaved(harness.cell_named(name), 3)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "QRNN"])
def test_runs_everywhere(name: str) -> None:
    laws.runs_everywhere(harness.cell_named(name).with_(dilation(3)))


def test_is_the_cell_written_with_delayed_states() -> None:
    @cell
    def Plain(p, x, h):
        return tanh(p.W @ x + p.U @ h)

    @cell
    def Delayed(p, x, h, h_ago_1, h_ago_2):
        new = tanh(p.W @ x + p.U @ h_ago_2)
        return new, h, h_ago_1

    assert Plain.with_(dilation(3)) == Delayed
    assert Plain.with_(dilation(1)) == Plain


def test_copies_come_after_the_states_and_before_time() -> None:
    assert [s.name for s in cells.LSTM.with_(dilation(3)).states] == ["h", "c", "h_ago_1", "c_ago_1", "h_ago_2", "c_ago_2"]
    clockwork = cells.Clockwork.with_(dilation(2))
    assert clockwork.states[-1].name == "t" and clockwork.uses_time
    starts = {s.name: s.initial for s in cells.SLSTM.with_(dilation(2)).states}
    assert starts["m"] == starts["m_ago_1"] == -1e4


def test_a_name_that_is_taken() -> None:
    @cell
    def Taken(p, x, h):
        h_ago_1 = p.U @ h
        return tanh(p.W @ x + h_ago_1)

    assert [s.name for s in Taken.with_(dilation(2)).states] == ["h", "h_ago_1_2"]


def test_zoneout_before_dilation_keeps_the_state_of_the_own_run() -> None:
    before = cells.GRU.with_(zoneout(h=0.5), dilation(2))
    after = cells.GRU.with_(dilation(2), zoneout(h=0.5))
    assert before != after
    interleaved(cells.GRU.with_(zoneout(h=0.5)), 2)  # in evaluation: the expectation
    laws.runs_everywhere(before)
    laws.runs_everywhere(after)


def test_errors() -> None:
    @cell
    def Timed(p, x, h, dt):
        return tanh(p.W @ x + p.U @ h) * dt

    with pytest.raises(CellError, match="Timed.with_: dilation .* reads dt"):
        Timed.with_(dilation(2))
    assert Timed.with_(dilation(1)) == Timed
    for k in (0, -1, 2.0, "2", True):
        with pytest.raises(CellError, match="k must be a whole number of at least 1"):
            dilation(k)  # type: ignore[arg-type]
