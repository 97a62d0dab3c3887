from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import recell.nn as rnn

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ("adding", "temporal_order", "copy_memory", "parity")
Load = Callable[[str], Any]  # a module of examples/ by its name


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module
    for name in ("long_memory", *SCRIPTS):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_shows_every_cell(script: str) -> None:
    """Two steps in place of all; a cell that has no recipe of its own is taught too."""
    source = (EXAMPLES / f"{script}.py").read_text(encoding="utf-8")
    names = [*re.findall(r'^        "(\w+)": Recipe\(', source, re.MULTILINE), "UGRNN"]
    assert len(names) > 3
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), "--steps", "2", "--threads", "1", "--seed", "5"]
    done = subprocess.run([*command, "--cells", ",".join(names)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"^(\w+) +\d+ +[\d,]+ +[\d.e-]+ +2 +\d+ +([\d.]+) +([\d.]+)", done.stdout, re.MULTILINE)
    assert [name for name, _, _ in shown] == names, done.stdout
    assert len({chance for _, _, chance in shown}) == 1 and "seed 5" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_drawn_follows_the_seed_and_is_never_measured(script: str, load: Load) -> None:
    task = load(script).TASK
    seeds = (0, 1, 2, 1_000_000)
    drawn = [task.draw(20, seed).inputs for seed in seeds]
    assert torch.equal(task.draw(20, 1).inputs, drawn[1])
    different = [not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i]]
    assert all(different)
    memory = load("long_memory")
    seen: list[int] = []
    task = replace(task, measured=2, draw=lambda count, seed: seen.append(seed) or load(script).TASK.draw(2, seed))
    memory.learn(task, "x", memory.Recipe("MinGRU", 3, 4, 1e-3), None, 2)
    assert seen[:4] == [2_000_001, 2_000_002, 2_000_003, 2_000_004]
    assert seen[4:] == ([] if task.draw_measured else [2_000_000])


@pytest.mark.parametrize(("script", "constant"), [("adding", 1.0), ("copy_memory", None)])
def test_the_figure_called_chance_is_that_of_an_answer_without_memory(script: str, constant: float | None, load: Load) -> None:
    """Always 1 in adding; blanks, then one eighth each of the symbols in copying."""
    task = load(script).TASK
    batch = task.draw(4000, 3)
    if constant is None:
        answers = torch.full((*batch.targets.shape, 10), -1e4)
        answers[:, :110, 0] = 0
        answers[:, 110:, 1:9] = 0
    else:
        answers = torch.full((4000, 1), constant)
    assert task.error(answers, batch.targets).item() == pytest.approx(task.chance, rel=0.05 if constant else 1e-5)


def test_copying_is_a_delay(load: Load) -> None:
    """What copy_memory.py says of it: the answer at every step is the input of 110 steps before."""
    batch = load("copy_memory").draw(30, 1)
    assert torch.equal(batch.inputs.argmax(-1)[:, :10], batch.targets[:, 110:])
    assert batch.targets[:, :110].eq(0).all()


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_gates_start_with_memories_of_every_length(cell: str, load: Load) -> None:
    torch.manual_seed(0)
    recurrent = rnn.Recurrent(cell, 2, 500)
    load("long_memory").chrono(150)(recurrent)
    keep = recurrent.parameter("b_f" if cell == "LSTM" else "b_z").exp()
    assert keep.min() >= 1 and keep.max() <= 149 and keep.mean().item() == pytest.approx(75, abs=8)
    if cell == "LSTM":
        assert torch.equal(recurrent.parameter("b_i"), -recurrent.parameter("b_f"))


def test_the_same_seed_gives_the_same_figure(load: Load) -> None:
    memory = load("long_memory")
    task = replace(load("temporal_order").TASK, measured=300, error=memory.cross_entropy)
    lines = [memory.learn(task, "GRU", task.recipes["GRU"], 2, seed).split() for seed in (4, 4, 9)]
    figures = [line[6] for line in lines]
    assert figures[0] == figures[1] != figures[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "cell", "steps", "most"),
    [
        ("temporal_order", "GRU", None, 0.01), ("adding", "GRU", None, 0.01), ("copy_memory", "LRU", 300, 0.0173),
        ("parity", "GRU", 500, 0.01),
    ],
)
def test_what_a_page_shows_is_learned(script: str, cell: str, steps: int | None, most: float, load: Load) -> None:
    """docs/long_memory.md, by the cells that take seconds: chance is .75, .167, .173 and .5."""
    memory, task = load("long_memory"), load(script).TASK
    line = memory.learn(replace(task, measured=600), cell, task.recipes[cell], steps, 10)
    assert float(line.split()[6]) < most, line
