"""What every task is: an estimator in scikit-learn's manner that trains, answers, measures, saves and loads.

A task's constructor takes keyword arguments only, stores them as given and checks nothing; ``fit`` checks
them. So ``get_params``, ``set_params`` and ``sklearn.clone`` work, without scikit-learn being imported here.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, cast

import recell.tasks
from recell.data.text import read_text
from recell.decoding import Sampling
from recell.errors import ModelError, RecellError, message, needing, unknown
from recell.language.cell import Cell
from recell.runtime.saved import CONFIG, SavedModel, read_saved, write_saved

_CELL = "recell.cell"  # marks an option that is a cell, where options are data
# What values of another kind than those that were saved end in, where a model is built from them.
_DAMAGED = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


class Task(ABC):
    """A task: fit, predict, evaluate, save and load. What is fitted ends in an underscore."""

    @abstractmethod
    def fit(self, data: Any, *, out: str | Path | None = None, resume: bool = False, progress: Any = True) -> Self:
        """Train on ``data``; with ``out``, checkpoints go there and ``resume`` goes on from them."""

    @abstractmethod
    def predict(self, data: Any) -> Any:
        """The answers for ``data``."""

    @abstractmethod
    def evaluate(self, data: Any) -> dict[str, float]:
        """The task's figures on ``data``, by their names."""

    def report(self, data: Any) -> str:
        """What `recell evaluate` prints for people below the figures; empty where they say all."""
        return ""

    def answers(self, path: str | Path) -> Iterator[tuple[str, Any]]:
        """What `recell predict` prints: each thing that a file asks, here a line, and the answer to it."""
        lines = read_text(path).splitlines()
        return zip(lines, self.predict(lines), strict=True)

    def draws(self, path: str | Path | None, *, length: int | None, sampling: Sampling,
              seed: int | None) -> Iterator[tuple[str, Any]]:
        """What `recell generate` prints: each thing that a file asks, and what is drawn for it; RecellError where a task draws
        nothing, or nothing without a file."""
        raise RecellError(message(f"a {type(self).__name__} draws nothing", write="recell predict DIR DATA"))

    @abstractmethod
    def _saved_parts(self) -> tuple[dict[str, Any], dict[str, bytes], dict[str, bytes]]:
        """What config.json says beyond the options, the model's other files, and those that stand beside it."""

    @abstractmethod
    def _restore(self, saved: SavedModel) -> None:
        """Become the fitted task that ``_saved_parts`` came from."""

    @classmethod
    def name(cls) -> str:
        """The stem of the task's file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def _options(cls) -> dict[str, Any]:
        """The constructor's arguments and their defaults."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options, as they were given."""
        return {name: getattr(self, name) for name in self._options()}

    def set_params(self, **options: Any) -> Self:
        """Change options for the next ``fit``; raises RecellError for one that does not exist."""
        known = self._options()
        for name in options:
            if name not in known:
                raise RecellError(unknown(f"option of {type(self).__name__}", name, known))
        for name, value in options.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = (f"{n}={getattr(self, n)!r}" for n, d in self._options().items() if getattr(self, n) != d)
        return f"{type(self).__name__}({', '.join(changed)})"

    def save(self, folder: str | Path) -> Self:
        """Write the fitted task as a model folder: no pickle, nothing of the author's code."""
        described, files, beside = self._saved_parts()
        config = {"task": self.name(), **described, "options": options_to_json(self.get_params())}
        write_saved(folder, config, files, beside)
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a model folder; raises ModelError in one line where it is damaged or of another task."""
        task = load(folder)
        if not isinstance(task, cls):
            held = type(task).__name__
            raise ModelError(f"{folder} holds a {held}; write {held}.load, or recell.load")
        return task

    @abstractmethod
    def _check(self) -> object:
        """Refuse options that cannot be; `fit` and `load` ask before anything else."""

    @classmethod
    def _of_saved(cls, saved: SavedModel) -> Self:
        options = options_from_json(saved.entry("options", kind=dict))
        options |= {name: () for name, usual in cls._options().items() if usual == () and options.get(name) == []}  # JSON's ()
        task = cls()
        try:
            task.set_params(**options)
            task._check()
        except RecellError as error:
            raise ModelError(f"{saved.folder} was saved by another recell, or changed: {error}") from None
        try:
            task._restore(saved)
        except _DAMAGED as error:
            raise ModelError(f"{saved.folder / CONFIG} is damaged: {type(error).__name__}: {error}".split("\n")[0]) from error
        return task


def named_file(path: str | Path | None, task: Task) -> Path:
    """The file that a task is to draw for; RecellError where none is named."""
    if path is None:
        said = f"a {type(task).__name__} draws for what a file asks"
        raise RecellError(message(said, came="no file", write="recell generate DIR DATA"))
    return Path(path)


@cache
def _stems() -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules(recell.tasks.__path__))
    return tuple(sorted(stem for stem in found if stem != "base" and not stem.startswith("_")))


def names() -> tuple[str, ...]:
    """The names of all tasks, as the command line writes them: with dashes."""
    return tuple(stem.replace("_", "-") for stem in _stems())


def find(name: str) -> type[Task]:
    """The task of a name, with dashes or underscores; RecellError offers the nearest names."""
    stem = name.replace("-", "_")
    if stem not in _stems():
        raise RecellError(unknown("task", name, names()))
    return _load(stem)


def class_named(name: str) -> type[Task] | None:
    """The task whose class has this name: ``LanguageModel``."""
    stems = {stem.replace("_", "").casefold(): stem for stem in _stems()}
    stem = stems.get(name.casefold())
    found = _load(stem) if stem else None
    return found if found is not None and found.__name__ == name else None


def load(folder: str | Path) -> Task:
    """Load a model folder of any task."""
    saved = read_saved(folder)
    if saved.task not in _stems():
        raise ModelError(f"{folder}: " + unknown("task", saved.task, _stems()))
    return _load(saved.task)._of_saved(saved)  # pyright: ignore[reportPrivateUsage]


def _load(stem: str) -> type[Task]:
    with needing(f"the task {stem}", "torch", extra="torch", instead="recell.runtime.load, which runs a saved model without it"):
        module = importlib.import_module(f"{recell.tasks.__name__}.{stem}")
    wanted = stem.replace("_", "")
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, Task) and value.__name__.casefold() == wanted:
            return value
    raise RecellError(f"tasks/{stem}.py must define a subclass of Task that is named as the file")


def options_to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as data; a cell becomes its graph. Raises RecellError for a value that JSON does not hold."""
    return {name: _plain(name, value) for name, value in options.items()}


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Cell):
        return {_CELL: value.to_json()}
    if isinstance(value, Integral):  # NumPy's numbers too
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(name, inner) for key, inner in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, inner) for inner in cast(list[Any], value)]
    raise RecellError(message(f"the option {name} cannot be saved", came=type(value).__name__, write="a plain value"))


def options_from_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options out of data; raises ModelError where a cell's graph does not verify."""
    return {name: _option(value) for name, value in options.items()}


def _option(value: Any) -> Any:
    if isinstance(value, dict) and _CELL in value:
        return Cell.from_json(cast(dict[str, Any], value)[_CELL])
    return value
