"""Finds the benchmarks by their files, and runs them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from recell.bench import questions
from recell.bench.report import Report, Row, examine, shown
from recell.bench.timing import Options, peak
from recell.errors import DataError, RecellError, message, unknown

Say = Callable[[str], Any]


def names() -> tuple[str, ...]:
    """Every benchmark's name: its file's, with dashes."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(questions.__path__)))


def question_of(name: str) -> str:
    """The first line of the benchmark's file."""
    return _parts(find(name))[0]


def find(name: str) -> ModuleType:
    """The benchmark's module; DataError where there is none of this name."""
    plain = name.replace("_", "-")
    if plain not in names():
        raise DataError(unknown("benchmark", name, names()))
    return importlib.import_module(f"{questions.__name__}.{plain.replace('-', '_')}")


def run(name: str, options: Options, say: Say) -> Report:
    """Runs a benchmark; each row is said when it is there."""
    if options.threads < 1:
        raise RecellError(message("a benchmark needs a thread at least", came=options.threads, write="--threads 2"))
    module = find(name)
    torch.set_num_threads(options.threads)
    question, text = _parts(module)
    say(question)
    rows: list[Row] = []
    best = peak(options.threads)
    for row in module.rows(options):
        rows.append(row)
        say("  " + ", ".join(f"{column} {shown(value)}" for column, value in row.items() if value not in ("", None)))
        best = max(best, peak(options.threads, 5))
    return Report(name.replace("_", "-"), question, text, module.KIND, examine(options.threads, best), rows)


def run_all(chosen: Sequence[str], options: Options, folder: Path, say: Say) -> list[Report]:
    """Runs benchmarks one after the other and writes each one's files as soon as it is done; without names: all of them."""
    for name in chosen:
        find(name)  # a wrong name is refused before the first has run for minutes
    reports: list[Report] = []
    for name in chosen or names():
        reports.append(run(name, options, say))
        written = reports[-1].write(folder)
        say(f"  written: {', '.join(map(str, written))}")
    return reports


def _parts(module: ModuleType) -> tuple[str, str]:
    """(question, text) of a benchmark's docstring."""
    question, _, text = (inspect.getdoc(module) or "").partition("\n")
    return question.strip(), text.strip()
