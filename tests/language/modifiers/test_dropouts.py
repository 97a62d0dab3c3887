from __future__ import annotations

import numpy as np
import pytest

from recell import Cell, CellError, ModelError, cell, cells, coin, concat, dropout, exp, relu, sigmoid, tanh
from recell.modifiers import recurrent_dropout, weight_drop
from tests.contract import harness
from tests.language.modifiers import laws

RATE = 0.4


@cell
def DroppedLSTM(p, x, h, c):
    d = dropout(h, RATE, per="sequence")
    i = sigmoid(p.W_i @ x + p.U_i @ d + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ d + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ d + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ d + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell
def DroppedGRU(p, x, h):
    d = dropout(h, RATE)
    r = sigmoid(p.W_r @ x + p.U_r @ d + p.b_r)
    z = sigmoid(p.W_z @ x + p.U_z @ d + p.b_z)
    n = tanh(p.W_n @ x + p.U_n @ (r * d) + p.b_n)
    h = (1 - z) * n + z * h
    return h


def test_recurrent_dropout_is_the_cell_written_with_dropout() -> None:
    laws.same_function(cells.LSTM.with_(recurrent_dropout(RATE)), DroppedLSTM)


def test_a_state_times_a_gate_is_a_recurrent_operand() -> None:
    laws.same_function(cells.GRUResetBefore.with_(recurrent_dropout(RATE, per="step")), DroppedGRU)


def test_a_part_of_a_concat_is_a_recurrent_operand() -> None:
    @cell
    def Packed(p, x, h):
        return tanh(p.W @ concat(x, h))

    @cell
    def Dropped(p, x, h):
        return tanh(p.W @ concat(x, dropout(h, RATE, per="sequence")))

    laws.same_function(Packed.with_(recurrent_dropout(RATE)), Dropped)


def test_an_elementwise_product_with_a_parameter_is_recurrent_where_no_matrix_reads_a_state() -> None:
    @cell
    def DroppedIndRNN(p, x, h):
        return relu(p.W @ x + p.vector("u") * dropout(h, RATE, per="sequence") + p.b)

    @cell
    def Weighed(p, x, h, c):
        """A computed weight, one on a gated state, a read that is no recurrent product."""
        g = sigmoid(p.W @ x + exp(p.v) * c)
        c = g * c + tanh(p.u * (g * h))
        return tanh(c), c

    @cell
    def DroppedWeighed(p, x, h, c):
        g = sigmoid(p.W @ x + exp(p.v) * dropout(c, RATE, per="sequence"))
        c = g * c + tanh(p.u * (g * dropout(h, RATE, per="sequence")))
        return tanh(c), c

    laws.same_function(cells.IndRNN.with_(recurrent_dropout(RATE)), DroppedIndRNN)
    laws.same_function(Weighed.with_(recurrent_dropout(RATE)), DroppedWeighed)


def test_a_peephole_sees_the_state_whole() -> None:
    nodes = cells.PeepholeLSTM.with_(recurrent_dropout(RATE)).graph.nodes
    assert [nodes[n.inputs[0]].attributes for n in nodes if n.op == "coin"] == [(0,)]  # h alone


@pytest.mark.parametrize("per", ["sequence", "step"])
@pytest.mark.parametrize("name", ["LSTM", "GRUResetBefore", "Jordan", "SRU", "LRU"])
def test_recurrent_dropout_runs_everywhere(name: str, per: str) -> None:
    chosen = cells.get(name)
    changed = Cell(chosen.name, chosen.graph, {"output": 4} if name == "Jordan" else {}).with_(recurrent_dropout(RATE, per=per))
    laws.runs_everywhere(changed)


@pytest.mark.parametrize("modifier", [recurrent_dropout(RATE), weight_drop(RATE)])
def test_evaluation_is_the_cell_itself(modifier: object) -> None:
    case = laws.case_of(cells.GRU.with_(modifier))  # type: ignore[arg-type]
    for backend in ("reference", "eager", "cpu"):
        harness.agree(harness.everything(case, backend), harness.everything(harness.replace(case, cell=cells.GRU), backend))


@pytest.mark.parametrize("modifier", [recurrent_dropout(0), weight_drop(0.0), weight_drop(0, "U")])
def test_rate_zero_changes_nothing(modifier: object) -> None:
    assert cells.LSTM.with_(modifier) == cells.LSTM  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "IndRNN", "SRU"])
def test_weight_drop_runs_everywhere(name: str) -> None:
    laws.runs_everywhere(cells.get(name).with_(weight_drop(RATE)))


def test_weight_drop_is_the_cell_with_thinned_matrices() -> None:
    """The gradient is 0 exactly at dropped entries: it shows the mask, and the plain cell runs with it."""
    case = laws.case_of(cells.LSTM.with_(weight_drop(RATE, "U_i", "U_o")), "training", hidden=30)
    for backend in ("reference", "eager", "cpu"):
        found = harness.everything(case, backend)
        thin = {}
        for name in ("U_i", "U_o"):
            kept = found[f"d {name}"] != 0
            assert abs(kept.mean() - (1 - RATE)) < 0.08  # 900 coins: five deviations
            thin[name] = laws.parameters(case)[name] * kept / (1 - RATE)
        assert not np.array_equal(thin["U_i"] == 0, thin["U_o"] == 0)
        plain = laws.with_parameters(harness.replace(case, cell=cells.LSTM), thin)
        harness.agree(harness.forward(case, backend), harness.forward(plain, backend))


def test_weight_drop_chooses_parameters() -> None:
    def dropped(changed: Cell) -> list[str]:
        nodes, names = changed.graph.nodes, {p.node: p.name for p in changed.graph.parameters}
        return [names.get(n.inputs[0], "a state") for n in nodes if n.op == "coin"]

    assert dropped(cells.LSTM.with_(weight_drop(0.5))) == ["U_i", "U_f", "U_g", "U_o"]
    assert dropped(cells.LSTM.with_(weight_drop(0.5, "U"))) == ["U_i", "U_f", "U_g", "U_o"]
    assert dropped(cells.LSTM.with_(weight_drop(0.5, "W_g", "b_f"))) == ["b_f", "W_g"]
    assert dropped(cells.GRUResetBefore.with_(weight_drop(0.5))) == ["U_r", "U_z", "U_n"]
    assert dropped(cells.AntisymmetricRNN.with_(weight_drop(0.5))) == ["U"]  # of U - U^T
    assert dropped(cells.PeepholeLSTM.with_(weight_drop(0.5))) == ["U_i", "U_f", "U_g", "U_o"]
    assert dropped(cells.IndRNN.with_(weight_drop(0.5))) == ["u"]
    assert dropped(cells.SRU.with_(weight_drop(0.5))) == ["v_f", "v_r"]
    both = cells.LSTM.with_(recurrent_dropout(0.2), weight_drop(0.5))
    assert sorted(dropped(both)) == ["U_f", "U_g", "U_i", "U_o", "a state"]


def test_a_coin_on_a_parameter_of_any_shape() -> None:
    @cell
    def Coins(p, x, h):
        drawn = p.b * coin(like=p.b, rate=0.5, per="sequence")
        number = p.scalar("s") * coin(like=p.s, rate=0.5, per="sequence")
        return tanh(p.W @ x + dropout(p.matrix("U"), RATE, per="sequence") @ h + drawn + number)

    laws.runs_everywhere(Coins)


def test_coins_on_parameters_are_drawn_once_a_call() -> None:
    with pytest.raises(CellError, match="line .*a parameter's coins are drawn once a call; came per='step' for b"):

        @cell
        def Stepwise(p, x, h):
            return tanh(p.W @ x + p.U @ h + p.b * coin(like=p.b, rate=0.5))


def test_a_damaged_coin_is_not_loaded() -> None:
    data = cells.LSTM.with_(weight_drop(0.5)).to_json()
    place = next(i for i, n in enumerate(data["graph"]["nodes"]) if n[0] == "coin")
    for attributes in ([0.5, "step", 0], [1.5, "sequence", 0], [0.5, "sequence", -1], [0.5, "day", 0], [0.5, "sequence"]):
        data["graph"]["nodes"][place][2] = attributes
        with pytest.raises(ModelError, match="coin"):
            Cell.from_json(data)


def test_errors() -> None:
    @cell
    def Decay(p, x, h):
        """No weight is a parameter itself: one that is dropped would be exp(0)."""
        return tanh(exp(p.v) * h + p.W @ x)

    with pytest.raises(CellError, match="MinGRU.with_: recurrent_dropout .* no parameter multiplies a state"):
        cells.MinGRU.with_(recurrent_dropout(0.1))
    for without in (Decay, cells.MinGRU):
        with pytest.raises(CellError, match=f"{without.name}.with_: weight_drop .* no parameter itself multiplies one; name"):
            without.with_(weight_drop(0.1))
    with pytest.raises(CellError, match="no parameter of this name; came 'U_x'"):
        cells.LSTM.with_(weight_drop(0.1, "U_x"))
    for rate in (-0.1, 1, "half"):
        for modifier in (recurrent_dropout, weight_drop):
            with pytest.raises(CellError, match="a rate must be a number from 0 to below 1"):
                modifier(rate)  # type: ignore[arg-type]
    with pytest.raises(CellError, match="per must be"):
        recurrent_dropout(0.1, per="batch")
    with pytest.raises(CellError, match="takes names of parameters"):
        weight_drop(0.1, ["U_i"])  # type: ignore[arg-type]
