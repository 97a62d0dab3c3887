from __future__ import annotations

import numpy as np
import pytest

from recell import CellError, cell, cells, normalize, sigmoid, tanh
from recell.modifiers import layer_norm
from tests.contract import harness
from tests.language.modifiers import laws

FAMILY = ("LSTM", "GRU", "PeepholeLSTM")


@cell
def NormalGRU(p, x, h):
    r = sigmoid(normalize(p.W_r @ x) * p.W_r_gain + normalize(p.U_r @ h) * p.U_r_gain + p.b_r)
    z = sigmoid(normalize(p.W_z @ x) * p.W_z_gain + normalize(p.U_z @ h) * p.U_z_gain + p.b_z)
    n = tanh(normalize(p.W_n @ x) * p.W_n_gain + p.b_n + r * (normalize(p.U_n @ h) * p.U_n_gain + p.c_n))
    h = (1 - z) * n + z * h
    return h


@cell
def NormalGates(p, x, h, c):
    i = sigmoid(normalize(p.W_i @ x + p.U_i @ h + p.w_i * c) * p.W_i_gain + p.b_i)
    f = sigmoid(normalize(p.W_f @ x + p.U_f @ h + p.w_f * c) * p.W_f_gain + p.b_f)
    g = tanh(normalize(p.W_g @ x + p.U_g @ h) * p.W_g_gain + p.b_g)
    c = f * c + i * g
    o = sigmoid(normalize(p.W_o @ x + p.U_o @ h + p.w_o * c) * p.W_o_gain + p.b_o)
    h = o * tanh(c)
    return h, c


def test_per_product_is_the_cell_written_with_normalize() -> None:
    assert cells.GRU.with_(layer_norm()) == NormalGRU
    assert cells.GRU.with_(layer_norm(eps=1e-3)) != NormalGRU
    assert [p.name for p in cells.GRU.with_(layer_norm()).graph.parameters] == [p.name for p in NormalGRU.graph.parameters]


def test_per_gates_normalises_the_sum_and_adds_biases_after_the_gain() -> None:
    laws.same_function(cells.PeepholeLSTM.with_(layer_norm(per="gates")), NormalGates)


def test_gains_are_vectors_that_start_at_one() -> None:
    modified = cells.LSTM.with_(layer_norm())
    gains = [p for p in modified.parameters(modified.resolve(3, 5)) if p.name.endswith("_gain")]
    assert [p.name for p in gains] == [f"{m}_{g}_gain" for g in "ifgo" for m in "WU"]
    assert all(p.shape == (5,) and p.trainable and p.init == 1.0 for p in gains)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("per", ["product", "gates"])
def test_runs_everywhere(name: str, per: str) -> None:
    laws.runs_everywhere(cells.get(name).with_(layer_norm(per=per)))


@pytest.mark.parametrize("per", ["product", "gates"])
def test_the_size_of_matrices_does_not_matter(per: str) -> None:
    case = laws.case_of(cells.LSTM.with_(layer_norm(per=per, eps=1e-12)))
    larger = {name: 7 * value for name, value in laws.parameters(case).items() if value.ndim == 2}
    scaled = laws.with_parameters(case, larger)
    harness.agree(harness.forward(scaled, "cpu"), harness.forward(case, "cpu"), tolerance=1e-8)


def test_a_gate_has_mean_zero_and_deviation_one_before_its_gain() -> None:
    @cell
    def Plain(p, x, h):
        z = p.b - p.W @ x - p.U @ h
        return tanh(z)

    case = laws.case_of(Plain.with_(layer_norm(per="gates")))
    values = laws.parameters(case)
    z = (harness.trace(case, "reference")["z"] - values["b"]) / values["W_gain"]
    np.testing.assert_allclose(z.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(-1), 1, atol=1e-3)


def test_what_is_one_gate() -> None:
    @cell
    def Shared(p, x, h):
        p.matrix("A", rows="hidden", cols=2)
        u = p.A @ (p.B @ x) + p.U @ h
        z = sigmoid(u + p.b_z)
        return z * h + (1 - z) * tanh(u + p.b_n)

    # The sum that two equations read is normalised once; the factor B @ x of a product of low rank is no gate.
    gates = Shared.with_(layer_norm(per="gates"))
    assert [p.name for p in gates.graph.parameters if "gain" in p.name] == ["A_gain"]
    assert [p.name for p in Shared.with_(layer_norm()).graph.parameters if "gain" in p.name] == ["B_gain", "A_gain", "U_gain"]
    laws.runs_everywhere(gates)


def test_names_of_gains() -> None:
    @cell
    def Named(p, x, h):
        w = p.matrix("W", rows="hidden", cols="hidden")
        return tanh(w @ h + w @ tanh(h) + (w - w.T) @ (h * h) + (p.A @ p.matrix("W_gain", rows=4, cols="hidden")) @ h + p.V @ x)

    added = [p.name for p in Named.with_(layer_norm()).graph.parameters][4:]
    names = {p.name for p in Named.with_(layer_norm()).graph.parameters}
    assert {"W_gain_2", "W_gain_3", "W_gain_4", "A_W_gain_gain", "V_gain"} <= names, added


def test_errors() -> None:
    @cell
    def Elementwise(p, x, h):
        return tanh(p.u * h + p.w * x)

    with pytest.raises(CellError, match="Elementwise.with_: layer_norm normalises products .* without any"):
        Elementwise.with_(layer_norm())
    with pytest.raises(CellError, match="came 'gate'; write"):
        layer_norm(per="gate")
    for eps in (0, -1e-5, "small", True):
        with pytest.raises(CellError, match="eps must be"):
            layer_norm(eps=eps)  # type: ignore[arg-type]
