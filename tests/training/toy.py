"""A small learner with everything a resume can lose: dropout, a carried state, a data position. Also run as
a script that trains in a folder, resuming where a checkpoint stands, so that a test can kill it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recell.training import Checkpoints, Loss, Plan, Training

PLAN = Plan(steps=40, learning_rate=0.05, warmup=5, report_every=4, validate_every=7, checkpoint_every=3)


class Toy:
    """Fits a noisy running mean; each batch depends on the position, each loss on the state carried to it."""

    unit = "rows"

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
        self.position = 0
        self.carried = torch.zeros(5, 3)
        self.losses: list[float] = []

    def batch(self, position: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(position)
        x = torch.randn(5, 3, generator=generator)
        return x, x.sum(1, keepdim=True)

    def next_loss(self) -> Loss:
        x, target = self.batch(self.position)
        self.position += 1
        self.carried = 0.9 * self.carried + 0.1 * x
        mean = (self.module(torch.cat([x, self.carried], 1)) - target).square().mean()
        self.losses.append(mean.item())
        return Loss(mean, 5)

    def epoch(self) -> float:
        return self.position / 10

    def figures(self, loss: float) -> Mapping[str, float]:
        return {"root": loss**0.5}

    def validate(self) -> Mapping[str, float] | None:
        x, target = self.batch(10**6)
        return {"loss": (self.module(torch.cat([x, x], 1)) - target).square().mean().item()}

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        return {"carried": self.carried}, {"position": self.position}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.carried, self.position = tensors["carried"], values["position"]


def train(folder: Path | None, plan: Plan = PLAN, seed: int = 0, **options: Any) -> tuple[Toy, Training, Any]:
    toy = Toy(seed)
    training = Training(toy, plan, folder=folder, **options)
    checkpoints = Checkpoints(folder / "checkpoint") if folder else None
    if checkpoints and checkpoints.has():
        training.resume(checkpoints.load())
    return toy, training, training.run()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("begins", flush=True)
    train(Path(sys.argv[1]), Plan(**{**vars(PLAN), "steps": int(sys.argv[2])}))
