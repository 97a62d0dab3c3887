"""What all tasks that train a network share: their options' checks, threads and seeds, checkpoints to go on from, the run.

A task that inherits has the options that `TrainedTask` names as attributes; it says what its network and its data are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from recell import cells
from recell.data.files import named_folder
from recell.errors import CellError, ModelError, RecellError, is_whole, message
from recell.language.cell import Cell
from recell.language.modifiers.named import named
from recell.runtime.saved import CONFIG, TENSORS
from recell.tasks._checks import check_count, check_one_layer
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks.base import Task, options_to_json
from recell.training import Checkpoints, Learner, Outcome, Plan, Saved, Training
from recell.training.loop import checked_plan
from recell.training.progress import Progress

M = TypeVar("M", bound=torch.nn.Module)
METRICS, VOCABULARY = "metrics.jsonl", "vocabulary.json"
DEFAULT_EPOCHS = 10
_MOST_THREADS = 1024  # a system that refuses one more thread ends the process, or crashes it
_MAY_CHANGE = ("steps", "epochs", "patience", "threads", "device", "backend")  # when a training is resumed


class TrainedTask(Task):
    """A task whose `fit` trains a torch module with `recell.training`."""

    cell: Cell | str
    hidden_size: HiddenSize
    num_layers: int
    sizes: Mapping[str, int] | None
    modifiers: Sequence[str]
    dropout: float
    steps: int | None
    epochs: int | None
    optimizer: str
    learning_rate: float
    patience: int | None
    plan: Mapping[str, Any] | None
    seed: int
    threads: int | None
    device: str

    def _check_shared(self, counts: Iterable[str], optional: Iterable[str] = ()) -> Cell:
        """Refuse options of every training task that cannot be, and `counts` that are none; the cell, with its modifiers."""
        layers = Layers.of(self)
        layers.check()
        for name in counts:
            check_count(name, getattr(self, name))
        for name in (*optional, "steps", "epochs", "patience", "threads"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.steps is not None and self.epochs is not None:
            raise RecellError(message("steps and epochs both say how long to train", write="one of them"))
        _check_seed(self.seed)
        if self.threads is not None and self.threads > _MOST_THREADS:
            raise RecellError(message(f"threads is at most {_MOST_THREADS}", came=self.threads, write="threads=4"))
        if self.sizes is not None and not isinstance(self.sizes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RecellError(message("sizes holds numbers by the sizes' names", came=self.sizes, write="sizes={'context': 40}"))
        self._plan(1)
        cell = cells.get(self.cell) if isinstance(self.cell, str) else checked_cell(self.cell)
        check_one_layer(cell, bidirectional=getattr(self, "bidirectional", None), layers=layers.count)
        if not isinstance(self.modifiers, (list, tuple)):
            raise RecellError(message("modifiers is a list", came=repr(self.modifiers), write="['zoneout(h=0.1)']"))
        return cell.with_(*(named(modifier) for modifier in self.modifiers))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags(two_d_array=False))

    def _plan(self, steps_per_epoch: int) -> Plan:
        if self.plan is not None and not isinstance(self.plan, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RecellError(message("plan holds entries of Plan by name", came=self.plan, write="plan={'clip': 0.5}"))
        steps = self.steps or (self.epochs or DEFAULT_EPOCHS) * steps_per_epoch
        return checked_plan({**self._usual_plan(steps, steps_per_epoch), **(self.plan or {})})

    def _usual_plan(self, steps: int, steps_per_epoch: int) -> dict[str, Any]:
        """The plan's entries where the user's `plan` says nothing."""
        return {
            "steps": steps,
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "warmup": min(100, steps // 10),
            "report_every": max(1, min(50, steps // 10)),
            "validate_every": max(1, steps // 20),
            "checkpoint_every": max(1, min(200, steps // 10)),
            "patience": self.patience,
        }

    @contextlib.contextmanager
    def _thread_count(self) -> Generator[None]:
        """``threads`` threads inside, the number there was again outside."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def _seeded(self) -> Generator[None]:
        """The task's threads and random numbers inside; torch's own are untouched outside."""
        with self._thread_count(), torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
            torch.manual_seed(self.seed)
            yield

    def _note(self, fingerprint: str, held_out: str) -> dict[str, Any]:
        """What a checkpoint says of the training that it belongs to; the fingerprints stand for the data, and for what is held
        out of it to choose the best step by."""
        options = options_to_json(self.get_params())
        return {"task": self.name(), "options": options, "text": fingerprint, "held_out": held_out,
                "threads": torch.get_num_threads()}  # fmt: skip

    def _earlier(self, out: str | Path | None, resume: bool, note: Mapping[str, Any], shown: Progress) -> Saved | None:
        """The checkpoint to go on from, if there is one and it is this training's.

        Where there is none yet, `resume` begins anew and says so: a job that may be broken off has one command for every start.
        """
        if out is None:
            if resume:
                raise RecellError(message("resume needs the folder to go on in", write="out='model', resume=True"))
            return None
        folder = named_folder(out)
        checkpoints = Checkpoints(folder / "checkpoint")
        if not checkpoints.has():
            _check_free(folder, resume)
            if resume:
                shown.say(f"there is no checkpoint in {out} to resume: the training begins anew")
            return None
        if not resume:
            if (folder / CONFIG).exists():
                raise ModelError(f"{out} already holds a model; write resume (--resume) to go on, or another folder")
            raise ModelError(f"{out} already holds a training's checkpoints; write resume (--resume) to go on with "
                             f"the same options, or delete {checkpoints.folder} to begin anew")
        saved = checkpoints.load()
        _check_note(saved.state.get("note"), note, out)
        return saved

    def _check_patience(self, why: str) -> None:
        """RecellError for a training that was to end by what is held out, where nothing is."""
        if (patience := self._plan(1).patience) is not None:
            raise RecellError(message(why, came=f"patience={patience}",
                                      write="validation=FILE, a higher validation_fraction, or patience=None"))

    def _train(self, learner: Learner, steps_per_epoch: int, *, out: str | Path | None, note: Mapping[str, Any],
               saved: Saved | None, progress: Progress) -> Outcome:
        """Train to the end and give the module its best weights; KeyboardInterrupt after Ctrl-C, with the checkpoint written."""
        training = Training(learner, self._plan(steps_per_epoch), folder=out, note=note, progress=progress)
        if saved is not None:
            training.resume(saved)
            _say_threads(saved.state["note"].get("threads"), torch.get_num_threads(), progress)
        outcome = training.run()
        if outcome.interrupted:
            raise KeyboardInterrupt(_interrupted(outcome.step, out))
        training.load_best()
        return outcome

    def _placed(self, network: M) -> M:
        """The network on the task's device; RecellError where that cannot be used."""
        if str(self.device) == "meta":
            raise RecellError(message("the meta device computes nothing", came="device='meta'", write="cpu"))
        try:
            return network.to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise RecellError(message(f"the device cannot be used: {error}", came=self.device, write="cpu")) from None


def arrays_of(network: torch.nn.Module) -> dict[str, NDArray[Any]]:
    """A module's state as NumPy arrays, as a saved model holds it."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def checked_cell(cell: object) -> Cell:
    """The cell itself; CellError for anything else."""
    if isinstance(cell, Cell):
        return cell
    raise CellError(f"cell is a {type(cell).__name__}; give a function decorated with @recell.cell, or a cell's name")


def _check_seed(seed: object) -> None:
    if not is_whole(seed):
        raise RecellError(message("seed is a whole number", came=repr(seed), write="seed=0"))
    if not -(2**63) <= int(seed) < 2**64:  # torch's generators take no other
        raise RecellError(message("seed is a number of 64 bits", came=seed, write="seed=0"))


def _check_free(folder: Path, resume: bool) -> None:
    """Refuse a folder with files that the training or its model would overwrite; others may lie beside them.

    Resumed before its first checkpoint, a training finds a log and a folder for checkpoints that are its own.
    """
    written = (CONFIG, TENSORS, VOCABULARY, *(() if resume else (METRICS, "checkpoint")))
    if held := [name for name in written if (folder / name).exists()]:
        raise ModelError(f"{folder} already holds {', '.join(held)}, which this training would overwrite; write another folder")


def _check_note(earlier: Any, now: Mapping[str, Any], out: str | Path) -> None:
    """Refuse to go on with another text or other options than the checkpoint's."""
    if not isinstance(earlier, dict) or earlier.get("task") != now["task"]:
        raise ModelError(f"the checkpoint in {out} is not of the task {now['task']}; train in another folder")
    before, after = earlier["options"], now["options"]
    for name in after:
        if name not in _MAY_CHANGE and before.get(name) != after[name]:
            raise ModelError(
                f"the training in {out} has {name}={_short(before.get(name))}; came {_short(after[name])}; "
                "resume it with the same options, or train in another folder"
            )
    if earlier.get("text") != now["text"]:
        raise ModelError(f"the training in {out} read other data; resume it with the same, or use another folder")
    if earlier.get("held_out") != now["held_out"]:
        raise ModelError(f"the training in {out} held out other data to choose its best step by; resume it with the same "
                         "validation, or use another folder")


def _say_threads(before: object, now: int, shown: Progress) -> None:
    """The thread count fixes the order of every sum: with another one, figures agree within rounding alone."""
    if isinstance(before, int) and before != now:
        shown.say(f"this training ran with {before} thread(s) and goes on with {now}: from here on its figures agree with "
                  f"an unbroken one's within rounding, not bit for bit; write threads={before} (--threads {before}) for that")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _interrupted(step: int, out: str | Path | None) -> str:
    if out is None:
        return f"stopped after {step:,} steps; nothing was saved, as fit had no folder (out=)"
    return f"stopped after {step:,} steps; the checkpoint is in {out}, and resume (--resume) goes on from it"
