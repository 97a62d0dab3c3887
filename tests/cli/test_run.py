from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import recell as library
from recell import cli

COMMANDS = ("train", "generate", "evaluate", "predict", "cells", "tasks", "doctor", "bench")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_json(recell, command: str) -> None:
    shown = recell(command, "--help")
    assert shown.code == 0 and f"Example: recell {command}" in shown.out and "--json" in shown.out


def test_help_version_and_an_unknown_command(recell) -> None:
    assert all(command in recell("--help").out for command in COMMANDS)
    assert recell().out == recell("--help").out
    assert recell("--version").out == f"recell {library.__version__}\n"
    ran = recell("trian")
    assert ran.code == 2 and "train" in ran.err and ran.err.count("\n") == 1


def test_without_typer_it_says_what_to_install(capsys, monkeypatch) -> None:
    real = cli.importlib.util.find_spec
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None if name in ("typer", "rich") else real(name))
    with pytest.raises(SystemExit) as left:
        cli.main(["cells"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "recell: the command line needs typer and rich: pip install 'recell[cli]'\n"


def test_without_torch_training_says_what_to_install(recell, corpus: Path, tmp_path: Path, monkeypatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))
    ran = recell("train", "language-model", corpus, "--out", tmp_path / "m")
    assert ran.code == 2 and "recell[torch]" in ran.err and ran.err.count("\n") == 1


def test_ctrl_c_leaves_with_130_and_no_traceback(recell, corpus: Path, tmp_path: Path, monkeypatch) -> None:
    from recell.tasks import LanguageModel

    def fit(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("stopped after 3 steps; the checkpoint is in m")

    monkeypatch.setattr(LanguageModel, "fit", fit)
    ran = recell("train", "language-model", corpus, "--out", tmp_path / "m")
    assert ran.code == 130 and ran.err == "recell: stopped after 3 steps; the checkpoint is in m\n"


def test_the_program_end_to_end(model: Path, tmp_path: Path) -> None:
    """As a user starts it; a reader that goes away is no error, and generating loads no torch."""
    command = f"{sys.executable} -m recell.cli generate {model} --length 20000 | head -c 5"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, "", 5)
    program = "import sys; from recell.cli.run import run; run(['generate', sys.argv[1], '--length', '3']); "
    program += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, model], check=True, capture_output=True)
