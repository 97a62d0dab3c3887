from __future__ import annotations

import json
import re
import shutil
import subprocess
from math import prod
from pathlib import Path

import pytest

from recell import cells
from recell.cli import zoo

ROOT = Path(__file__).parents[2]
PAGE, FOLDER = ROOT / "docs" / "cells.md", ROOT / "src" / "recell" / "cells"


def test_the_list_says_what_each_cell_is_made_of(recell) -> None:
    listed = json.loads(recell("cells", "--json").out)
    assert tuple(listed) == cells.names()
    for name, row in listed.items():
        cell = cells.get(name)
        data = json.loads(recell("cells", name, "--json").out)
        assert row["states"].split(", ") == [s.name for s in cell.states]
        assert (row["parameters"], row["frozen"]) == (data["parameter_count"], data.get("frozen_count", 0))
        assert row["stash_floats"] == data["stash_floats"] and row["source"] == data["source"]
        assert 20 < len(row["source"]) < 130 and any(letter.isdigit() for letter in row["source"]), f"{name} names no paper"


def test_an_lstm_has_four_times_the_parameters_of_the_elman_of_its_size(recell) -> None:
    listed = json.loads(recell("cells", "--json").out)
    assert listed["LSTM"]["parameters"] == 4 * listed["Elman"]["parameters"] and listed["LSTM"]["times_elman"] == 4
    for shown in (recell("cells").out, recell("cells", "LSTM").out, recell("cells", "--markdown").out):
        assert "4 times the parameters of the Elman of its size" in " ".join(shown.split())
    assert "0.342 times" in zoo.beside_elman(cells.get("IndRNN")) and "1 times" in zoo.beside_elman(cells.get("Elman"))


@pytest.mark.parametrize("width", [80, 100, 130])
def test_the_table_fits_a_terminal_and_leaves_nothing_out(width: int) -> None:
    shown = zoo.table(width)
    assert max(len(line) for line in shown.splitlines()) <= width
    words = "".join(shown.split())
    for name in cells.names():
        assert name in shown
    for source in (row["source"] for row in zoo.list_cells().values()):
        assert "".join(source.split()) in words


STALE = "docs/cells.md is stale; write recell cells --markdown > docs/cells.md"


def lacking(page: str) -> list[str]:
    return [name for name in cells.names() if f"## {name}\n" not in page]


def without(printed: str, names: list[str]) -> str:
    """The page as it would be printed of a zoo without these cells."""
    for name in names:
        printed = re.sub(rf"^\| \[{name}\]\(.*\n", "", printed, flags=re.MULTILINE)
        printed = re.sub(rf"^## {name}\n.*?(?=^## )", "", printed, flags=re.MULTILINE | re.DOTALL)
    known = len(cells.names())
    return printed.replace(f"\n{known} cells, ", f"\n{known - len(names)} cells, ")


def test_the_page_says_what_its_cells_are(recell) -> None:
    """All that it says: a cell that was dropped in since it was written is the only difference that it may have."""
    page, printed = PAGE.read_text(encoding="utf-8"), recell("cells", "--markdown").out
    assert page == without(printed, lacking(page)), STALE
    for name in cells.names():
        assert f"## {name}\n" in printed and cells.get(name).equations() in printed
    assert all(word in printed.split("## Out of scope")[1] for word in ("mLSTM", "convolutional", "tree"))


def test_the_page_has_every_cell_that_is_kept() -> None:
    """A file that git does not know yet needs no other edit."""
    command = ["git", "-C", str(FOLDER), "ls-files", "*.py"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False) if shutil.which("git") else None
    if listed is None or listed.returncode or not listed.stdout:
        pytest.skip("not a checkout: what is kept is not known")
    kept = {Path(file).stem for file in listed.stdout.splitlines()}
    assert "lstm" in kept
    files = {name: (cells.get(name).module or "").rpartition(".")[2] for name in lacking(PAGE.read_text(encoding="utf-8"))}
    assert not kept & set(files.values()), STALE


def test_the_page_is_the_whole_list(recell) -> None:
    for other in ("LSTM", "--json"):
        ran = recell("cells", "--markdown", other)
        assert ran.code == 2 and "recell cells --markdown" in ran.err


def test_one_cell(recell) -> None:
    data = json.loads(recell("cells", "peephole-lstm", "--json").out)
    cell = cells.get("PeepholeLSTM")
    assert data["equations"] == cell.equations() and data["latex"] == cell.latex() and data["states"] == "h, c"
    sizes = cell.resolve(64, 128)
    assert data["parameter_count"] == sum(prod(p.shape) for p in cell.parameters(sizes))
    assert data["stash_floats"] == cell.stash_floats(sizes) == 5 * 128
    for name in cells.names():
        assert recell("cells", name).code == 0


def test_a_cell_of_the_users_own(recell, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from recell import cell, tanh\n@cell\ndef Mine(p, x, h):\n    return tanh(p.W @ x + p.U @ h)\n")
    assert "W @ x[t]" in recell("cells", f"{file}:Mine").out
    ran = recell("cells", "GRUU")
    assert ran.code == 2 and "GRU" in ran.err and ran.err.count("\n") == 1


def test_frozen_parameters_are_counted_apart(recell, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from recell import cell, tanh\n@cell\ndef Fixed(p, x, h):\n"
                    "    return tanh(p.W @ x + p.matrix('U', trainable=False) @ h)\n")  # fmt: skip
    data = json.loads(recell("cells", f"{file}:Fixed", "--json").out)
    assert data["parameter_count"] == 128 * 64 and data["frozen_count"] == 128 * 128 and "U 128x128 frozen" in data["parameters"]
