from __future__ import annotations

import numpy as np
import pytest

from recell import CellError, cell, cells, coin, sigmoid, tanh
from recell.modifiers import zoneout
from tests.contract import harness
from tests.language.modifiers import laws


@cell
def ZonedLSTM(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    new_c = f * c + i * g
    new_h = o * tanh(new_c)
    kept_h = coin(like=h, rate=0.25)
    h = kept_h * h + (1 - kept_h) * new_h
    kept_c = coin(like=c, rate=0.5)
    c = kept_c * c + (1 - kept_c) * new_c
    return h, c


ZONED = cells.LSTM.with_(zoneout(h=0.25, c=0.5))


def test_is_the_cell_written_with_coins() -> None:
    assert ZONED == ZonedLSTM


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SCRN"])
def test_runs_everywhere(name: str) -> None:
    states = [s.name for s in cells.get(name).states]
    laws.runs_everywhere(cells.get(name).with_(zoneout(**dict.fromkeys(states, 0.3))))


def one_step(variant: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """States before, after the plain cell's step, and after the step with zoneout."""
    case = laws.case_of(ZONED, variant, hidden=64, rows=200).at(slice(0, 1))
    plain = harness.forward(harness.replace(case, cell=cells.LSTM), "reference")
    before = dict(zip("hc", case.states, strict=True))
    return before, {s: plain[f"last {s}"] for s in "hc"}, harness.forward(case, "cpu")


def test_in_training_every_unit_is_old_or_new() -> None:
    before, new, found = one_step("training")
    for name, rate in (("h", 0.25), ("c", 0.5)):
        kept = found[f"last {name}"] == before[name]
        np.testing.assert_allclose(found[f"last {name}"], np.where(kept, before[name], new[name]), atol=1e-12)
        assert abs(kept.mean() - rate) < 0.02  # 12800 coins: five deviations
    np.testing.assert_array_equal(found["y"][0], found["last h"])  # the output is the value after


def test_in_evaluation_the_state_is_the_expectation() -> None:
    before, new, found = one_step("plain")
    for name, rate in (("h", 0.25), ("c", 0.5)):
        np.testing.assert_allclose(found[f"last {name}"], rate * before[name] + (1 - rate) * new[name], atol=1e-12)


def test_equations_of_the_step_read_the_value_before_zoneout() -> None:
    case = laws.case_of(cells.LSTM.with_(zoneout(c=0.5)), "training").at(slice(0, 1))
    plain = harness.forward(harness.replace(case, cell=cells.LSTM), "reference")
    found = harness.forward(case, "reference")
    np.testing.assert_array_equal(found["last h"], plain["last h"])
    assert not np.array_equal(found["last c"], plain["last c"])


def test_an_output_that_is_a_local_is_not_kept() -> None:
    @cell(output="n")
    def Local(p, x, h):
        n = tanh(p.W @ x + p.U @ h)
        return n

    case = laws.case_of(Local.with_(zoneout(h=0.5)), "training").at(slice(0, 1))
    plain = harness.forward(harness.replace(case, cell=Local), "reference")
    np.testing.assert_array_equal(harness.forward(case, "reference")["y"], plain["y"])


def test_each_rate_has_coins_of_its_own() -> None:
    twice = ZONED.with_(zoneout(h=0.25))
    numbers = [n.attributes[2] for n in twice.graph.nodes if n.op == "coin"]
    assert sorted(numbers) == [0, 1, 2]


def test_rate_zero_changes_nothing() -> None:
    assert cells.LSTM.with_(zoneout(h=0.0, c=0)) == cells.LSTM


def test_errors() -> None:
    with pytest.raises(CellError, match="LSTM.with_: .*no state of this name; came 'z'; write c or h"):
        cells.LSTM.with_(zoneout(z=0.1))
    with pytest.raises(CellError, match="no state of this name; came 't'"):
        cells.Clockwork.with_(zoneout(t=0.1))
    for rate in (-0.1, 1, 1.5, "often", True, float("nan")):
        with pytest.raises(CellError, match="a rate must be a number from 0 to below 1"):
            zoneout(h=rate)  # type: ignore[arg-type]
    with pytest.raises(CellError, match="came none"):
        zoneout()


@pytest.mark.parametrize("modify", [lambda: cells.LSTM.with_(zoneout), lambda: zoneout(0.1), lambda: zoneout(0.1, c=0.2)])
def test_a_rate_without_a_state_is_one_short_line(modify) -> None:
    with pytest.raises(CellError, match="zoneout needs a rate for a state; came .* without a name; write") as caught:
        modify()
    assert len(str(caught.value)) < 150
