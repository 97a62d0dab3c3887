from __future__ import annotations

import json
from pathlib import Path

from recell import cells


def test_the_list_of_cells(recell) -> None:
    listed = json.loads(recell("cells", "--json").out)
    assert tuple(listed) == cells.names()
    assert all(summary for summary in listed.values())
    assert "LSTM" in recell("cells").out


def test_one_cell(recell) -> None:
    data = json.loads(recell("cells", "peephole-lstm", "--json").out)
    cell = cells.get("PeepholeLSTM")
    assert data["equations"] == cell.equations() and data["latex"] == cell.latex() and data["states"] == "h, c"
    sizes = cell.resolve(64, 128)
    assert data["parameter_count"] == sum(a * b for a, b in ((*p.shape, 1, 1)[:2] for p in cell.parameters(sizes)))
    assert data["stash_floats"] == cell.stash_floats(sizes) == 5 * 128
    for name in cells.names():
        assert recell("cells", name).code == 0


def test_a_cell_of_the_users_own(recell, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from recell import cell, tanh\n@cell\ndef Mine(p, x, h):\n    return tanh(p.W @ x + p.U @ h)\n")
    assert "W @ x[t]" in recell("cells", f"{file}:Mine").out
    ran = recell("cells", "GRUU")
    assert ran.code == 2 and "GRU" in ran.err and ran.err.count("\n") == 1


def test_doctor_says_what_there_is(recell) -> None:
    report = json.loads(recell("doctor", "--json").out)
    import numpy
    import torch

    import recell as library

    assert report["recell"] == library.__version__ and report["numpy"] == numpy.__version__
    assert report["torch"] == torch.__version__ and "cpu" in report["backends"]
    assert report["instruction_set"] and report["threads"] >= 1
    assert report["pointwise_tier"].startswith("virtual machine")
    out = recell("doctor").out
    assert "native library" in out and "pointwise tier" in out


def test_doctor_says_what_is_wrong(recell, monkeypatch) -> None:
    monkeypatch.setenv("RECELL_LIBRARY", "/no/such/library.so")
    ran = recell("doctor")
    assert ran.code == 0 and "not usable" in ran.out
