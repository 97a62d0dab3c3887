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


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src" / "recell" / "cells" / "dropped_in.py").write_text(CELL, encoding="utf-8")
    return folder


def run(tree: Path, *arguments: str) -> str:
    """What `python -m ...` prints on the copy alone: -S leaves out the hooks of an editable install, which know the original."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    paths = os.pathsep.join([str(tree / "src"), *packages])
    environment = os.environ | {"PYTHONPATH": paths, "RECELL_LIBRARY": library_path(), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", "-m", *arguments]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_has_it(tree: Path) -> None:
    listed = json.loads(run(tree, "recell", "cells", "--json"))
    assert listed["DroppedIn"]["source"].startswith("Somebody's cell") and listed["DroppedIn"]["states"] == "h, m"
    assert "m[t] = f[t] * m[t-1]" in run(tree, "recell", "cells", "dropped-in")


def test_the_generated_page_has_it(tree: Path) -> None:
    printed = run(tree, "recell", "cells", "--markdown")
    assert "| [DroppedIn](#droppedin) | h, m |" in printed and "## DroppedIn\n\nSomebody's cell (Nobody 2031)" in printed


@pytest.mark.slow
def test_the_contract_suite_holds_it(tree: Path) -> None:
    tried = run(tree, "pytest", "-v", "-n", "0", "-p", "no:cacheprovider", "tests/contract", "-k", "DroppedIn")
    passed = [line for line in tried.splitlines() if "DroppedIn" in line and "PASSED" in line]
    for backend in ("reference", "eager", "cpu"):
        assert sum(backend in line for line in passed) > 10, f"{backend} was hardly tried:\n{tried}"
