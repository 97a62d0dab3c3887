"""A file dropped into cells/ is all that a new cell takes: in a copy of the tree, nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recell.compiler.backends.cpu.library import library_path

ROOT = Path(__file__).parents[2]
CELL = '''"""Somebody's cell (Nobody 2031): a state that leaks, as nothing in the zoo does."""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def DroppedIn(p, x, h, m):
    f = sigmoid(p.W_f @ x + p.u_f * m + p.b_f)
    m = f * m + (1 - f) * tanh(p.W @ x + p.U @ h)
    h = m * sigmoid(p.V @ m)
    return h, m
'''

SEVERAL = '''"""Two cells that are not called as their file is (Nobody 2032)."""

from recell.cells.lstm import LSTM
from recell.language.cell import cell
from recell.language.functions import tanh


@cell
def FirstOfTwo(p, x, h, *, rate=0.5):
    """A leak of one rate (Nobody 2032)."""
    return (1 - rate) * h + rate * tanh(p.W @ x + p.U @ h)


Slow = FirstOfTwo(rate=0.01)  # the same cell with another constant: no cell of the zoo


@cell
def SecondOfTwo(p, x, h):
    return h + tanh(p.W @ x - p.u * h)
'''


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for part in ("src", "tests", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src" / "recell" / "cells" / "dropped_in.py").write_text(CELL, encoding="utf-8")
    (folder / "src" / "recell" / "cells" / "pair.py").write_text(SEVERAL, encoding="utf-8")
    return folder


def run(tree: Path, *arguments: str, refused: bool = False) -> str:
    """What `python -m ...` prints on the copy alone: -S leaves out the hooks of an editable install, which know the original."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    paths = os.pathsep.join([str(tree / "src"), *packages])
    environment = os.environ | {"PYTHONPATH": paths, "RECELL_LIBRARY": library_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", "-m", *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == (2 if refused else 0), done.stdout + done.stderr
    return done.stderr if refused else done.stdout


def test_the_command_line_has_it(tree: Path) -> None:
    listed = json.loads(run(tree, "recell", "cells", "--json"))
    assert listed["DroppedIn"]["source"].startswith("Somebody's cell") and listed["DroppedIn"]["states"] == "h, m"
    assert "m[t] = f[t] * m[t-1]" in run(tree, "recell", "cells", "dropped-in")


def test_the_generated_page_has_it(tree: Path) -> None:
    printed = run(tree, "recell", "cells", "--markdown")
    assert "| [DroppedIn](#droppedin) | h, m |" in printed and "## DroppedIn\n\nSomebody's cell (Nobody 2031)" in printed


def test_a_file_may_hold_several_cells_of_other_names(tree: Path) -> None:
    listed = json.loads(run(tree, "recell", "cells", "--json"))
    assert {"FirstOfTwo", "SecondOfTwo"} < listed.keys() and not {"Pair", "Slow"} & listed.keys()
    assert listed["FirstOfTwo"]["source"] == "A leak of one rate (Nobody 2032)."
    assert listed["SecondOfTwo"]["source"] == "Two cells that are not called as their file is (Nobody 2032)."
    assert "h[t] = 0.5 * h[t-1] + 0.5" in run(tree, "recell", "cells", "first_of_two")


REFUSED = [
    ("twice.py", CELL, "cells/dropped_in.py and cells/twice.py both define DroppedIn; write another name"),
    ("no_cell.py", "NUMBER = 1\n", "cells/no_cell.py must define a cell; came none of its own; write @cell above a function"),
    ("taken.py", "from recell.cells.lstm import LSTM\n", "cells/taken.py must define a cell; came none of its own"),
]


@pytest.mark.parametrize(("file", "text", "words"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_a_name_given_twice_and_a_file_without_a_cell_are_one_line(tree: Path, file: str, text: str, words: str) -> None:
    dropped = tree / "src" / "recell" / "cells" / file
    dropped.write_text(text, encoding="utf-8")
    try:
        told = run(tree, "recell", "cells", refused=True)
        assert words in told and len(told.strip().splitlines()) == 1
        assert "c[t]" in run(tree, "recell", "cells", "LSTM")  # a cell in a file of its name needs no other file
    finally:
        dropped.unlink()


def test_a_cell_is_got_without_reading_the_others(tree: Path) -> None:
    script = "import sys\nfrom recell import cells\ncells.get('LSTM'), cells.GRU\nprint(*sys.modules)\n"
    (tree / "one.py").write_text(script, encoding="utf-8")
    read = {name for name in run(tree, "one").split() if name.startswith("recell.cells.")}
    assert read == {"recell.cells.lstm", "recell.cells.gru"}


@pytest.mark.slow
def test_the_tests_of_the_list_and_of_the_page_allow_it(tree: Path) -> None:
    tried = run(tree, "pytest", "-v", "-n", "0", "-p", "no:cacheprovider", "tests/cli/test_zoo.py")
    assert "test_the_page_says_what_its_cells_are PASSED" in tried and "test_one_cell PASSED" in tried


@pytest.mark.slow
def test_the_contract_suite_holds_it(tree: Path) -> None:
    tried = run(tree, "pytest", "-v", "-n", "0", "-p", "no:cacheprovider", "tests/contract", "-k", "DroppedIn or OfTwo")
    for name in ("DroppedIn", "FirstOfTwo", "SecondOfTwo"):
        passed = [line for line in tried.splitlines() if name in line and "PASSED" in line]
        for backend in ("reference", "eager", "cpu"):
            assert sum(backend in line for line in passed) > 10, f"{name} was hardly tried on {backend}:\n{tried}"
