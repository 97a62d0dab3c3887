"""The training loop: steps, clipping, schedule, validation, early stop, checkpoints, exact resume.

It knows nothing of language, or of any task: a ``Learner`` gives it losses, and the rest follows from a
``Plan``. After a kill at any moment, ``resume`` continues with the very bits of a training that was never
broken off: module, optimizer, random numbers, data position, carried state and the sums behind the next
report are all in the checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from recell.errors import ModelError, RecellError, message, unknown, whole
from recell.training import optimizers
from recell.training.average import Average
from recell.training.checkpoint import BEST, Checkpoints, Saved
from recell.training.interrupt import Interrupt
from recell.training.metrics import MetricsLog
from recell.training.progress import Progress, Silent
from recell.training.schedule import Schedule


@dataclass(frozen=True)
class Loss:
    """The loss of one batch: ``mean`` over ``count`` tokens (or rows, or whatever the learner counts)."""

    mean: Tensor
    count: int


class Learner(Protocol):
    """What is trained. It owns the module and its data, and can say where it stands in them."""

    module: torch.nn.Module
    unit: str  # what ``Loss.count`` counts, in the plural

    def next_loss(self) -> Loss:
        """The loss of the next batch, ready to be derived."""
        ...

    def epoch(self) -> float:
        """Passes over the data done so far."""
        ...

    def figures(self, loss: float) -> Mapping[str, float]:
        """What follows from a mean loss and is shown beside it: bits per token, say."""
        ...

    def validate(self) -> Mapping[str, float] | None:
        """The figures on held-out data, ``loss`` among them, or None where there is none."""
        ...

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """Data position and carried state: tensors, and what JSON can hold."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Put back what ``state`` gave."""
        ...


@dataclass(frozen=True)
class Plan:
    """How to train. ``clip`` bounds the norm of all gradients together; ``patience`` counts validations.

    ``best_by`` names the figure on held-out data whose best step is kept: "loss", the lower the better, or any other, the higher;
    where it is the same, as an accuracy often is, the lower loss.
    ``average`` above 0, such as 0.999, validates and keeps the running average of the weights, with this decay, in their place.
    """

    steps: int
    optimizer: str = "adamw"
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 0
    decay: str = "cosine"
    floor: float = 0.0
    clip: float | None = 1.0
    report_every: int = 50
    validate_every: int = 200
    checkpoint_every: int = 200
    patience: int | None = None
    best_by: str = "loss"
    average: float = 0.0

    def schedule(self) -> Schedule:
        """The learning rate of each step."""
        return Schedule(self.learning_rate, self.steps, self.warmup, self.decay, self.floor)


def checked_plan(settings: Mapping[str, Any]) -> Plan:
    """A Plan of these entries; raises RecellError for one that does not exist or cannot be."""
    known = [entry.name for entry in fields(Plan)]
    for name in settings:
        if name not in known:
            raise RecellError(unknown("entry of the plan", name, known))
    plan = Plan(**settings)
    for name in ("steps", "report_every", "validate_every", "checkpoint_every"):
        whole(name, getattr(plan, name), rule="counts steps, from 1", write=f"{name}=100", error=RecellError)
    for name in ("learning_rate", "weight_decay", "warmup", "floor", "average"):
        check_number(name, getattr(plan, name))
    if plan.average >= 1:
        raise RecellError(message("average is a decay below 1", came=plan.average, write="average=0.999"))
    if plan.clip is not None and check_number("clip", plan.clip) <= 0:
        raise RecellError(message("clip bounds the gradients' norm, above 0", came=plan.clip, write="clip=1.0"))
    if plan.optimizer not in optimizers.optimizer_names():
        raise RecellError(unknown("optimizer", plan.optimizer, optimizers.optimizer_names()))
    plan.schedule()
    return plan


def check_number(name: str, value: object) -> float:
    """The number itself; raises RecellError for what is none, is below 0 or without end."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise RecellError(message(f"{name.replace('_', ' ')} is a number, 0 or above", came=repr(value), write=f"{name}=0.1"))
    return float(value)


@dataclass
class _Standing:
    """Where the loop is; all of it goes into the checkpoint."""

    step: int = 0
    best: float | None = None  # the best validation so far, by the plan's figure
    best_loss: float | None = None  # its loss, which decides where the figure is the same
    best_step: int = 0
    worse: int = 0  # validations since then
    stopped: bool = False  # patience has run out
    loss_sum: float = 0.0  # since the last report
    count: int = 0
    seconds: float = 0.0  # of training, all runs together


@dataclass(frozen=True)
class Outcome:
    """How a training ended. ``interrupted``: Ctrl-C stopped it, and its checkpoint can go on."""

    step: int
    best: float | None
    best_step: int
    stopped_early: bool
    interrupted: bool
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Training:
    """One training of a learner after a plan.

    With ``folder``, checkpoints go to ``folder/checkpoint`` and the figures to ``folder/metrics.jsonl``.
    ``note`` is a JSON object stored in every checkpoint for the caller (its options, say).
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        *,
        folder: str | Path | None = None,
        note: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._learner, self._plan, self._note = learner, plan, dict(note or {})
        self._schedule = plan.schedule()
        self._progress = progress or Silent()
        self._optimizer = optimizers.build(plan.optimizer, learner.module.parameters(), plan.learning_rate, plan.weight_decay)
        self._average = Average(learner.module, plan.average) if plan.average else None
        self._standing = _Standing()
        self._checkpoints = Checkpoints(Path(folder) / "checkpoint") if folder is not None else None
        self._metrics = MetricsLog(Path(folder) / "metrics.jsonl" if folder is not None else None)
        self._saved_step: int | None = None
        self._speed: float | None = None  # what is shown, per second
        self._best_weights: dict[str, Tensor] | None = None  # used where there is no folder

    def resume(self, saved: Saved) -> None:
        """Stand where a checkpoint stood; raises ModelError where it belongs to another model."""
        state = saved.state
        try:
            self._learner.module.load_state_dict(saved.group("module"))
            optimizers.load_state(self._optimizer, saved.group("optimizer"), state["optimizer"])
            self._learner.load_state(saved.group("learner"), state["learner"])
            if self._average is not None:
                self._average.load(saved.group("average"))
            self._standing = _Standing(**state["loop"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the checkpoint does not fit this model: {error}".split("\n")[0]) from error
        _set_random_state(saved.group("random"))
        self._saved_step = saved.step

    def run(self) -> Outcome:
        """Train to the end of the plan, to the end of patience, or to Ctrl-C."""
        standing = self._standing
        self._metrics.restart(standing.step)
        if self._saved_step is None:
            self._checkpoint()  # a kill before the next one finds the options and first weights
        self._progress.start(standing.step, self._plan.steps, self._learner.unit)
        try:
            with Interrupt() as interrupt:
                while not self._finished() and not interrupt.asked:
                    self.step()
                    self._after_step()
                if self._saved_step != standing.step:
                    self._checkpoint()
        finally:
            self._progress.stop()
        return Outcome(
            step=standing.step,
            best=standing.best,
            best_step=standing.best_step,
            stopped_early=standing.stopped,
            interrupted=not self._finished(),
            history=self._metrics.records,
        )

    def load_best(self) -> None:
        """Give the module the weights of the best validation; where there was none, those of the last step."""
        if self._standing.best is not None and self._checkpoints is not None:
            saved = self._checkpoints.load(BEST)
            self._learner.module.load_state_dict(saved.group("module"))
            if self._average is not None:
                self._average.load(saved.group("average"))
        elif self._standing.best is not None and self._best_weights is not None:
            self._learner.module.load_state_dict(self._best_weights)
            return
        if self._average is not None:
            self._average.put()

    def _finished(self) -> bool:
        return self._standing.step >= self._plan.steps or self._standing.stopped

    def step(self) -> None:
        """One step: a batch, its gradients, one move of the optimizer."""
        began = time.perf_counter()
        standing, module = self._standing, self._learner.module
        module.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._learner.next_loss()
        loss.mean.backward()
        if self._plan.clip is not None:
            optimizers.clip(module, self._plan.clip)
        optimizers.set_learning_rate(self._optimizer, self._schedule(standing.step))
        value = loss.mean.item()
        if not math.isfinite(value):
            raise RecellError(_not_finite(value, standing.step, self._plan))
        self._optimizer.step()
        standing.step += 1
        if self._average is not None:
            self._average.update(standing.step)
        standing.loss_sum += value * loss.count
        standing.count += loss.count
        seconds = time.perf_counter() - began
        standing.seconds += seconds
        self._show(value, loss.count / max(seconds, 1e-9))

    def _show(self, loss: float, per_second: float) -> None:
        self._speed = 0.9 * (self._speed or per_second) + 0.1 * per_second  # one slow step is no news
        figures = {"loss": loss, **self._learner.figures(loss), "per_second": self._speed}
        self._progress.step(self._standing.step, figures)

    def _after_step(self) -> None:
        plan, standing = self._plan, self._standing
        last = standing.step == plan.steps
        if last or standing.step % plan.report_every == 0:
            self._report()
        best = (last or standing.step % plan.validate_every == 0) and self._validate()
        if best or standing.step % plan.checkpoint_every == 0:
            self._checkpoint(best=best)

    def _report(self) -> None:
        standing = self._standing
        loss = standing.loss_sum / standing.count
        self._metrics.append(
            {
                "step": standing.step,
                "epoch": round(self._learner.epoch(), 4),
                "loss": loss,
                **self._learner.figures(loss),
                "learning_rate": self._schedule(standing.step - 1),
                "seconds": round(standing.seconds, 3),
            }
        )
        standing.loss_sum, standing.count = 0.0, 0

    def _validate(self) -> bool:
        """Whether the module has never been as good; with its average weights, where these are kept."""
        with self._average.in_place() if self._average is not None else contextlib.nullcontext():
            return self._validate_as_it_stands()

    def _validate_as_it_stands(self) -> bool:
        standing, module = self._standing, self._learner.module
        module.eval()
        with torch.no_grad():
            figures = self._learner.validate()
        if figures is None:
            return False
        better = self._is_better(figures)
        self._metrics.append({"step": standing.step, "validation": dict(figures), "best": better})
        if better:
            standing.best, standing.best_loss = self._judged(figures), figures.get("loss")
            standing.best_step, standing.worse = standing.step, 0
            if self._checkpoints is None:
                self._best_weights = {name: t.detach().clone() for name, t in module.state_dict().items()}
        else:
            standing.worse += 1
            standing.stopped = self._plan.patience is not None and standing.worse >= self._plan.patience
        self._progress.say(_validation_line(standing.step, figures, better))
        return better

    def _is_better(self, figures: Mapping[str, float]) -> bool:
        standing, value = self._standing, self._judged(figures)
        if standing.best is None or self._plan.best_by == "loss":
            return standing.best is None or value < standing.best
        before = math.inf if standing.best_loss is None else standing.best_loss
        return (value, -figures.get("loss", math.inf)) > (standing.best, -before)

    def _judged(self, figures: Mapping[str, float]) -> float:
        if self._plan.best_by not in figures:
            raise RecellError(unknown("figure of the validation", self._plan.best_by, figures))
        return figures[self._plan.best_by]

    def _checkpoint(self, *, best: bool = False) -> None:
        if self._checkpoints is None:
            return
        tensors, numbers = optimizers.state_of(self._optimizer)
        carried, position = self._learner.state()
        groups = {
            "module": self._learner.module.state_dict(),
            "optimizer": tensors,
            "learner": carried,
            "random": _random_state(),
        }
        if self._average is not None:
            groups["average"] = self._average.tensors
        state = {
            "optimizer": numbers,
            "learner": dict(position),
            "loop": asdict(self._standing),
            "note": self._note,
        }
        self._metrics.sync()
        flat = {f"{group}.{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
        self._checkpoints.save(self._standing.step, flat, state, best=best)
        self._saved_step = self._standing.step


def _random_state() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda_{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    return states


def _set_random_state(states: Mapping[str, Tensor]) -> None:
    for name, state in states.items():
        if name == "cpu":
            torch.set_rng_state(state)
        elif int(name.removeprefix("cuda_")) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda_")))


def _validation_line(step: int, figures: Mapping[str, float], better: bool) -> str:
    shown = "  ".join(f"{name.replace('_per_', '/')} {value:.4f}" for name, value in figures.items())
    return f"step {step:,}: validation {shown}{'  (best so far)' if better else ''}"


def _not_finite(value: float, step: int, plan: Plan) -> str:
    return message(
        f"the loss is no number after {step} steps: training diverged, or the input holds NaN",
        came=value,
        write=f"a learning rate below {plan.learning_rate:g}, or a smaller clip",
    )
