"""The learning rate of each step: a linear warm-up, then a decay. A pure function of the step, so it resumes exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from recell.errors import RecellError, message, unknown


def _constant(_: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    """Loshchilov & Hutter, "SGDR", 2017, without restarts."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


_DECAYS: dict[str, Callable[[float], float]] = {"none": _constant, "linear": _linear, "cosine": _cosine}


@dataclass(frozen=True)
class Schedule:
    """From 0 up to ``peak`` over ``warmup`` steps, then down to ``floor * peak`` at the last of ``steps`` steps."""

    peak: float
    steps: int
    warmup: int = 0
    decay: str = "cosine"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.decay not in _DECAYS:
            raise RecellError(unknown("decay", self.decay, _DECAYS))
        if not self.peak > 0:
            raise RecellError(message("the learning rate is above 0", came=self.peak, write="3e-3"))

    def __call__(self, step: int) -> float:
        """The rate for step number ``step``, counted from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        shape = _DECAYS[self.decay](min(progress, 1.0))
        return self.peak * (self.floor + (1.0 - self.floor) * shape)
