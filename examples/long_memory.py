"""What adding.py, temporal_order.py, copy_memory.py and parity.py share: a cell and a Linear learn from sequences drawn anew.

A ``Task`` says what is drawn and how an answer is judged, a ``Recipe`` how one cell is built, started and taught. ``main``
teaches every cell of the task and prints one line for each. Step s of a training with seed n draws from the seed
1,000,000 n + s, and what is measured at the end from 1,000,000 n: nothing is seen twice, nothing measured was learned from.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import recell.nn as rnn
from recell import cells
from recell.language.cell import Cell
from recell.training import Loss, Plan, Training
from recell.training.progress import chosen

SEEDS = 1_000_000  # from one training's draws to the next one's
CHUNK = 256  # sequences that are measured at once


class Batch(NamedTuple):
    """Sequences, sample first."""

    inputs: Tensor  # (sequences, steps, features)
    targets: Tensor  # (sequences,) or (sequences, steps)
    lengths: Tensor | None = None  # (sequences,) where they differ


def untouched(recurrent: rnn.Recurrent) -> None:
    """The cell's own start."""


@dataclass(frozen=True)
class Recipe:
    """How one cell is built, started and taught.

    By AdamW without weight decay, gradients clipped at a norm of 1, the rate rising over `warmup` steps and then falling to 0
    along half a cosine. `note` says how it is started.
    """

    cell: Cell | str
    hidden_size: int
    steps: int
    learning_rate: float
    start: Callable[[rnn.Recurrent], object] = untouched
    note: str = ""
    warmup: int = 0

    def plan(self, steps: int | None) -> Plan:
        """With `steps` in place of the recipe's where they are given."""
        total = self.steps if steps is None else steps
        return Plan(total, learning_rate=self.learning_rate, weight_decay=0.0, warmup=self.warmup,
                    report_every=total, validate_every=total, checkpoint_every=total)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is drawn, and how answers (sequences, [steps,] outputs) are judged; `error` is the figure that is shown."""

    title: str
    inputs: int
    outputs: int
    draw: Callable[[int, int], Batch]  # (sequences, seed): to learn from
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    figure: str  # what the error is called
    chance: float  # the error of a network that remembers nothing
    recipes: Mapping[str, Recipe]
    every_step: bool = False  # an answer at every step, or at each sequence's last alone
    batch: int = 50
    measured: int = 2560
    draw_measured: Callable[[int, int], Batch] | None = None  # to be measured on, where that differs

    def recipe(self, name: str) -> Recipe:
        """The cell's own, or the same for every cell that has none."""
        return self.recipes[name] if name in self.recipes else Recipe(cells.get(name), 64, 2000, 3e-3)


class Network(nn.Module):
    """A recurrent layer and a Linear that reads it."""

    def __init__(self, task: Task, recipe: Recipe) -> None:
        super().__init__()
        self.every_step = task.every_step
        self.recurrent = rnn.Recurrent(recipe.cell, task.inputs, recipe.hidden_size, batch_first=True)
        recipe.start(self.recurrent)
        self.read = nn.Linear(self.recurrent.output_size, task.outputs)

    def forward(self, batch: Batch) -> Tensor:
        y, _ = self.recurrent(batch.inputs, lengths=batch.lengths)
        if not self.every_step:
            y = y[:, -1] if batch.lengths is None else y[torch.arange(len(y)), batch.lengths - 1]
        return self.read(y)


class Fresh:
    """A learner (recell.training) that never sees a sequence twice."""

    unit = "sequences"

    def __init__(self, task: Task, module: Network, seed: int) -> None:
        self.task, self.module, self.seed, self.drawn = task, module, seed, 0

    def next_loss(self) -> Loss:
        self.drawn += 1
        batch = self.task.draw(self.task.batch, SEEDS * self.seed + self.drawn)
        return Loss(self.task.loss(self.module(batch), batch.targets), len(batch.targets))

    def epoch(self) -> float:
        return 0.0  # there is no end of them

    def figures(self, loss: float) -> Mapping[str, float]:
        return {}

    def validate(self) -> None:
        return None

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        return {}, {"drawn": self.drawn}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.drawn = values["drawn"]


def chrono(longest: int) -> Callable[[rnn.Recurrent], object]:
    """A start whose gates keep for 1 to `longest` steps (Tallec and Ollivier 2018), for a cell with gates as LSTM's or GRU's."""

    def start(recurrent: rnn.Recurrent) -> None:
        if recurrent.cell.name == "GRU":
            rnn.init.chrono_(recurrent.parameter("b_z"), longest)
        else:
            rnn.init.chrono_(recurrent.parameter("b_f"), longest, recurrent.parameter("b_i"))

    return start


def wrong(answers: Tensor, targets: Tensor) -> Tensor:
    """The share of answers whose highest score is another class's."""
    return (answers.argmax(-1) != targets).float().mean()


def cross_entropy(answers: Tensor, targets: Tensor) -> Tensor:
    """Nats per answer."""
    return nn.functional.cross_entropy(answers.flatten(0, -2), targets.flatten())


def measure(task: Task, network: Network, seed: int) -> float:
    """The mean error over sequences that were not learned from."""
    batch = (task.draw_measured or task.draw)(task.measured, SEEDS * seed)
    total = 0.0
    network.eval()
    with torch.no_grad():
        for first in range(0, task.measured, CHUNK):
            part = Batch(*(None if tensor is None else tensor[first : first + CHUNK] for tensor in batch))
            total += task.error(network(part), part.targets).item() * len(part.targets)
    return total / task.measured


def learn(task: Task, name: str, recipe: Recipe, steps: int | None, seed: int) -> str:
    """Teach one cell; its line of the table."""
    torch.manual_seed(seed)
    network = Network(task, recipe)
    began = time.perf_counter()
    outcome = Training(Fresh(task, network, seed), recipe.plan(steps), progress=chosen(True)).run()
    seconds = time.perf_counter() - began
    if outcome.interrupted:
        raise SystemExit(f"{name}: stopped after {outcome.step:,} steps")
    count = sum(p.numel() for p in network.parameters())
    error = measure(task, network, seed)
    return (f"{name:<12}{recipe.hidden_size:>6}{count:>12,}{recipe.learning_rate:>8g}{outcome.step:>8,}{seconds:>9.0f}"
            f"{error:>16.5f}{task.chance:>10.4f}  {recipe.note}").rstrip()  # fmt: skip


def main(task: Task) -> None:
    """Teach the cells that the command line names, then print what each has reached."""
    arguments = parsed(task)
    torch.set_num_threads(arguments.threads)
    names = arguments.cells.split(",")
    recipes = [task.recipe(name) for name in names]  # a name that does not exist is told before anything is learned
    lines = [learn(task, name, recipe, arguments.steps, arguments.seed) for name, recipe in zip(names, recipes, strict=True)]
    print(f"\n{task.title}\nseed {arguments.seed}, batches of {task.batch}, measured on {task.measured:,} fresh sequences\n")
    head = f"{'cell':<12}{'units':>6}{'parameters':>12}{'rate':>8}{'steps':>8}{'seconds':>9}"
    print(f"{head}{task.figure:>16}{'chance':>10}  start")
    print("\n".join(lines))


def positive(text: str) -> int:
    """A count from the command line; argparse tells of a ValueError in a line of its own."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def parsed(task: Task) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=task.title)
    everyone = ",".join(task.recipes)
    parser.add_argument("--cells", default=everyone, help="names in recell.cells, comma between (default %(default)s)")
    parser.add_argument("--steps", type=positive, help="training steps of every cell (default: each cell's own)")
    parser.add_argument("--seed", type=int, default=10, help="of parameters and sequences (default %(default)s)")
    parser.add_argument("--threads", type=positive, default=2, help="threads (default %(default)s)")
    return parser.parse_args()
