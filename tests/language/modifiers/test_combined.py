from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

import recell
import recell.nn as rnn
from recell import Cell, CellError, cell, cells, tanh
from recell.modifiers import dilation, layer_norm, recurrent_dropout, weight_drop, zoneout
from tests.language.modifiers import laws


@pytest.mark.parametrize("name", ["LSTM", "GRU", "PeepholeLSTM"])
@pytest.mark.parametrize("per", ["product", "gates"])
def test_layer_norm_and_zoneout(name: str, per: str) -> None:
    laws.runs_everywhere(cells.get(name).with_(layer_norm(per=per), zoneout(h=0.2)))


def test_all_at_once() -> None:
    changed = cells.LSTM.with_(weight_drop(0.2), layer_norm(), recurrent_dropout(0.3), zoneout(h=0.1, c=0.4), dilation(2))
    numbers = [n.attributes[2] for n in changed.graph.nodes if n.op == "coin"]
    assert len(set(numbers)) == len(numbers) == 7
    laws.runs_everywhere(changed)


def test_applied_from_left_to_right() -> None:
    both = cells.GRU.with_(zoneout(h=0.1), layer_norm())
    assert both == cells.GRU.with_(zoneout(h=0.1)).with_(layer_norm())
    assert both == cells.GRU.with_(layer_norm(), zoneout(h=0.1))  # these two do not meet
    assert cells.GRU.with_(dilation(2), zoneout(h=0.1)) != cells.GRU.with_(zoneout(h=0.1), dilation(2))
    assert cells.GRU.with_() == cells.GRU


def test_the_new_cell_is_closed_and_the_old_one_as_it_was() -> None:
    @cell
    def Scaled(p, x, h, *, scale=2.0):
        return tanh(p.W @ x + scale * (p.U @ h))

    before = Scaled.to_json()
    changed = Scaled(scale=3.0).with_(layer_norm())
    assert Scaled.to_json() == before and changed.name == "Scaled"
    with pytest.raises(CellError, match="closed"):
        changed(scale=4.0)
    for twin in (pickle.loads(pickle.dumps(changed)), copy.deepcopy(changed)):  # noqa: S301
        assert twin == changed and hash(twin) == hash(changed)


def test_an_open_cell_names_its_constants() -> None:
    @cell
    def Open(p, x, h, *, scale):
        return tanh(p.W @ x + scale * (p.U @ h))

    with pytest.raises(CellError, match=r"Open needs its constants first: scale; .* write Open\(scale=...\)"):
        Open.with_(layer_norm())


def test_what_is_no_modifier() -> None:
    with pytest.raises(CellError, match="with_ takes modifiers; came 'zoneout'"):
        cells.LSTM.with_("zoneout")  # type: ignore[arg-type]
    with pytest.raises(CellError, match="functions graph -> graph; came one that gives Zoneout"):
        cells.LSTM.with_(lambda graph: zoneout(h=0.1))  # type: ignore[arg-type,return-value]


def test_reached_as_a_module() -> None:
    assert recell.modifiers.layer_norm is layer_norm


def test_every_modifier_has_laws_of_its_own() -> None:
    here = Path(__file__).parent
    files = {"dilation": "test_dilation.py", "layer_norm": "test_layer_norm.py", "recurrent_dropout": "test_dropouts.py",
             "weight_drop": "test_dropouts.py", "zoneout": "test_zoneout.py"}  # fmt: skip
    assert set(files) == set(recell.modifiers.__all__)
    for name, file in files.items():
        assert f"with_({name}(" in (here / file).read_text(encoding="utf-8")


def test_equations_say_normalize() -> None:
    first = cells.LSTM.with_(layer_norm()).equations().splitlines()[0]
    assert first == "i[t] = sigmoid(normalize(W_i @ x[t]) * W_i_gain + normalize(U_i @ h[t-1]) * U_i_gain + b_i)"
    assert "normalize(W_r @ x[t] + U_r @ h[t-1], 0.001)" in cells.GRU.with_(layer_norm("gates", 1e-3)).equations()
    assert r"\operatorname{normalize}\left(W_{r} x_{t}\right)" in cells.GRU.with_(layer_norm()).latex()


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_in_a_module(backend: str) -> None:
    """Gains start at 1; training draws coins from torch's seed; evaluation draws none."""
    changed: Cell = cells.LSTM.with_(layer_norm(), zoneout(h=0.3, c=0.3), weight_drop(0.4))
    module = rnn.Recurrent(changed, 4, 6, num_layers=2, bidirectional=True, backend=backend)
    assert torch.equal(module.parameter("U_f_gain", layer=1), torch.ones(6))
    x = torch.randn(5, 3, 4)

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return module(x)[0]

    assert torch.equal(run(0), run(0)) and not torch.equal(run(0), run(1))
    run(0).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    module.eval()
    assert torch.equal(run(0), run(1))
