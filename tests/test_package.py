"""The package's front: what `import *` brings, `python -m recell`, and what is said where torch is missing."""

from __future__ import annotations

import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch

import recell
import recell.nn as rnn
from recell import cell, tanh


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


def test_import_star_leaves_pythons_own_names_alone():
    names: dict[str, object] = {}
    exec("from recell import *", names)
    assert "tanh" in names and not {"abs", "sum"} & names.keys()
    assert recell.abs is not builtins.abs and recell.sum is not builtins.sum


def test_a_name_that_is_offered_exists():
    with pytest.raises(AttributeError, match="no attribute of this name; came 'explan'") as caught:
        recell.explan  # noqa: B018
    assert "explain" not in str(caught.value)
    assert all(hasattr(recell, name) for name in recell._MODULES)


def test_the_package_is_a_command():
    shown = run("-m", "recell", "cells")
    assert shown.returncode == 0 and "LSTM" in shown.stdout


@pytest.mark.parametrize("use", ["accelerate", "nn", "tasks.base.find('language-model')"])
def test_without_torch_one_line_says_what_to_install(use):
    shown = run(
        "-c",
        f"import sys; sys.modules['torch'] = None; import recell, recell.tasks.base\n"
        f"try: recell.{use}\nexcept recell.RecellError as error: print(error)",
    )
    assert shown.returncode == 0, shown.stderr
    assert "needs torch" in shown.stdout and "recell.runtime.load" in shown.stdout


BLOCKED = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not to be had")
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("way", ["import sys; sys.modules['torch'] = None\n", BLOCKED], ids=["missing", "refused"])
@pytest.mark.parametrize("words", ["worked order", "worked taipei", "worked vanishing", "train tagger a --out=b"])
def test_without_torch_the_command_line_ends_with_one_line_and_2(way, words):
    shown = run("-c", f"{way}from recell.cli.run import run\nsys.exit(run({words.split()}))")
    assert shown.returncode == 2 and "needs torch" in shown.stderr and len(shown.stderr.splitlines()) == 1, shown.stderr


TASKS = """
import sys
from pathlib import Path
sys.modules |= dict.fromkeys(("seqeval", "sklearn", "tokenizers"))
from recell.cli.run import run
Path("a.conll").write_text("to O\\nrome B-city\\n\\n" * 30)
Path("a.tsv").write_text("good\\ta fine film\\nbad\\ta dull film\\n" * 9)
for words in (WORDS):
    print("exit", run(words.split()), flush=True)
"""


def said_without_the_extra_tasks(folder, words: list[str]) -> tuple[list[str], list[str]]:
    """The exit code of each command, and the lines on standard error."""
    shown = run("-c", f"import os; os.chdir({str(folder)!r})\n" + TASKS.replace("WORDS", repr(words)))
    codes = [line.removeprefix("exit ") for line in shown.stdout.splitlines() if line.startswith("exit ")]
    return codes, shown.stderr.splitlines()


def test_without_the_extra_tasks_a_task_says_before_training_what_to_install(tmp_path):
    """At the validation after the first epoch would be too late."""
    small = "--out {} --steps 2 --quiet --hidden-size 4"
    words = [f"train tagger a.conll {small.format('a')}", f"train classifier a.tsv {small.format('b')} --set level=subwords"]
    exits, lines = said_without_the_extra_tasks(tmp_path, words)
    assert exits == ["2", "2"] and len(lines) == 2 and all("write pip install 'recell[tasks]'" in line for line in lines), lines
    assert "needs seqeval;" in lines[0] and "level='subwords' needs tokenizers;" in lines[1]
    assert not any(path.is_dir() for path in tmp_path.iterdir()), "the training had begun"


def test_without_the_extra_tasks_what_needs_none_of_it_runs(tmp_path):
    small = "--out {} --steps 2 --quiet --hidden-size 4"
    words = [f"train tagger a.conll {small.format('a')} --set validation_fraction=0", "predict a a.conll", "evaluate a a.conll",
             f"train classifier a.tsv {small.format('b')}", "predict b a.tsv", "evaluate b a.tsv --json"]  # fmt: skip
    exits, lines = said_without_the_extra_tasks(tmp_path, words)
    assert exits == ["0", "0", "2", "0", "0", "0"] and len(lines) == 1 and "recell[tasks]" in lines[0], (exits, lines)


@pytest.mark.parametrize("call", [recell.accelerate, recell.verify], ids=["accelerate", "verify"])
def test_what_is_no_model_or_cell_is_refused_by_name(call):
    with pytest.raises(recell.RecellError, match="came int; write"):
        call(3)


def test_numpys_numbers_are_numbers():
    @cell
    def Halved(p, x, h):
        return tanh(p.W @ x * np.float32(0.5) + np.int64(2) * (p.U @ h))

    assert Halved.equations() == "h[t] = tanh(W @ x[t] * 0.5 + 2 * (U @ h[t-1]))"


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 5),
        ({"bidirectional": True}, 10),
        ({"bidirectional": True, "merge": "sum"}, 5),
    ],
)
def test_output_size_is_the_width_of_y(options, width):
    module = rnn.Recurrent("LSTM", 3, 5, num_layers=2, **options)
    assert module.output_size == width == module(torch.zeros(2, 4, 3))[0].shape[-1]


def test_a_name_that_is_not_there_offers_the_nearest():
    with pytest.raises(AttributeError, match="came 'sigmod'; write sigmoid"):
        recell.sigmod  # noqa: B018
    assert not hasattr(recell, "__wrapped__")
