"""``recell train`` and what loads a saved task."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from recell.cli.own_cell import find_cell
from recell.errors import ModelError, RecellError, ShapeError, message, missing

_SIZES = re.compile(r"write sizes=(\{[^}]*\})")


def train_task(
    task: str,
    data: Path,
    out: Path,
    options: dict[str, Any],
    settings: list[str],
    *,
    validation: Path | None,
    resume: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Train, save, and say how it went."""
    need_torch("training")
    from recell import tasks
    from recell.training import Checkpoints
    from recell.training.progress import Quiet

    chosen = tasks.find(task)
    options |= parsed_settings(settings)
    if isinstance(options.get("cell"), str):
        options["cell"] = find_cell(options["cell"])
    resumed = {"resumed": Checkpoints(out / "checkpoint").has()} if resume else {}
    if resume:
        options = {**earlier_options(out, options), **options}
    model: Any = chosen().set_params(**options)
    extra = {} if validation is None else {"validation": validation}
    try:
        model.fit(data, out=out, resume=resume, progress=Quiet() if quiet else True, **extra).save(out)
    except ShapeError as error:
        raise ShapeError(_SIZES.sub(_as_setting, str(error))) from None
    return {"model": str(out), **resumed, **_last_figures(model.history_)}


def _as_setting(advice: re.Match[str]) -> str:
    """`write sizes={'projection': 40}` as a command line takes it."""
    sizes = advice[1].replace("'", '"')
    return f"write --set 'sizes={sizes}'"


def load_task(folder: Path) -> Any:
    """The task saved in a folder."""
    need_torch("this command")
    from recell import tasks

    return tasks.load(folder)


def need_torch(what: str) -> None:
    """RecellError where torch is not installed."""
    try:
        found = importlib.util.find_spec("torch")
    except ImportError:  # refused by a finder
        found = None
    if found is None:
        raise missing(what, "torch", "torch")


def parsed_settings(settings: list[str]) -> dict[str, Any]:
    """``["window=50", "decay=linear"]`` as options; a value is JSON, or else text."""
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise RecellError(message("--set takes an option and its value", came=setting, write="--set window=50"))
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def earlier_options(out: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The options that the training in a folder was begun with, so that --resume need not repeat them."""
    from recell.tasks.base import options_from_json
    from recell.training import Checkpoints

    checkpoints = Checkpoints(out / "checkpoint")
    if not checkpoints.has():
        return {}
    note: Any = checkpoints.load().state.get("note")
    if not isinstance(note, dict) or not isinstance(note.get("options"), dict):
        raise ModelError(f"the checkpoint in {out} does not say how its training began; train in another folder")
    options = options_from_json(note["options"])
    if "steps" in given or "epochs" in given:  # a new length takes the place of the old one
        options |= {"steps": None, "epochs": None}
    return options


def _last_figures(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The last training figures, and the validation of the weights that were kept."""
    reports = [record for record in history if "loss" in record]
    kept = [record["validation"] for record in history if record.get("best")]
    figures: dict[str, Any] = {}
    if reports:
        figures |= {name: reports[-1][name] for name in ("step", "epoch", "loss", "seconds")}
    if kept:
        figures |= {f"validation_{name}": value for name, value in kept[-1].items()}
    return figures
