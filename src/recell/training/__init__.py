"""Training any learner: optimizers, schedule, checkpoints that survive a kill, and the loop over them."""

from __future__ import annotations

from recell.training.checkpoint import Checkpoints, Saved
from recell.training.loop import Learner, Loss, Outcome, Plan, Training
from recell.training.metrics import MetricsLog
from recell.training.optimizers import optimizer_names

__all__ = [
    "Checkpoints",
    "Learner",
    "Loss",
    "MetricsLog",
    "Outcome",
    "Plan",
    "Saved",
    "Training",
    "optimizer_names",
]
