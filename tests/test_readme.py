"""What README.md and docs/language.md show, runs: Python blocks in order, in one namespace, then commands."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of a page that are marked ```kind, in order."""
    parts = (ROOT / page).read_text(encoding="utf-8").split("```")[1::2]  # text and blocks take turns
    found = [body for mark, _, body in (part.partition("\n") for part in parts) if mark == kind]
    assert found, f"{page} has no block marked {kind!r}"
    return found


def run_in(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{shlex.join(command)[:200]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_readme_python_runs(tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text("\n".join(blocks("README.md", "python")), encoding="utf-8")
    run_in(tmp_path, sys.executable, "-W", "error", str(program))


def test_language_page_runs(tmp_path: Path) -> None:
    program = tmp_path / "language.py"
    program.write_text("\n".join(blocks("docs/language.md", "python")), encoding="utf-8")
    run_in(tmp_path, sys.executable, "-W", "error", str(program))


@pytest.mark.slow
def test_readme_commands_run(tmp_path: Path) -> None:
    shown = "\n".join(blocks("README.md", "")).splitlines()
    lines = [line for line in shown if line.startswith("recell ")]
    assert lines, "README.md shows no command"
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat. " * 400, encoding="utf-8")
    (tmp_path / "sentences.conll").write_text("to O\nnew B-city\nyork I-city\n\nto O\nrome B-city\n\n" * 9, encoding="utf-8")
    (tmp_path / "labelled.tsv").write_text("good\ta fine film\nbad\ta dull film\n" * 9, encoding="utf-8")
    for line in lines:
        small = line.replace("--steps 1200", "--steps 3").replace("--hidden-size 256", "--hidden-size 8")
        words = shlex.split(small)[1:]
        out = run_in(tmp_path, str(Path(sys.executable).with_name("recell")), *words, "--json")
        assert [json.loads(text) for text in out.splitlines() if text], f"{line}: no JSON came"
