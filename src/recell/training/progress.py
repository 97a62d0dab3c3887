"""Showing how a training goes: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from recell.errors import RecellError, message

Figures = Mapping[str, float]


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def start(self, done: int, total: int, unit: str) -> None:
        """Training begins at step ``done`` of ``total``; ``unit`` is what is counted: characters, say."""

    def step(self, done: int, figures: Figures) -> None:
        """Step ``done`` is over; ``figures`` are the loss and what follows from it, and ``per_second``."""

    def say(self, line: str) -> None:
        """One line that stays."""

    def stop(self) -> None:
        """Training is over or broken off."""


class Silent:
    """Shows nothing."""

    def start(self, done: int, total: int, unit: str) -> None: ...

    def step(self, done: int, figures: Figures) -> None: ...

    def say(self, line: str) -> None: ...

    def stop(self) -> None: ...


class Quiet(Silent):
    """Shows no progress; what there is to say before training begins is said."""

    _began = False

    def start(self, done: int, total: int, unit: str) -> None:
        self._began = True

    def say(self, line: str) -> None:
        if not self._began:
            print(line, file=sys.stderr, flush=True)


class Lines:
    """A plain line every ten seconds, and one for every report: for logs and pipes."""

    seconds_between = 10.0

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stderr
        self._unit, self._total, self._first, self._began, self._last = "", 0, 0, 0.0, 0.0

    def start(self, done: int, total: int, unit: str) -> None:
        self._unit, self._total, self._first = unit, total, done
        self._began = self._last = time.monotonic()

    def step(self, done: int, figures: Figures) -> None:
        now = time.monotonic()
        if now - self._last < self.seconds_between and done < self._total:
            return
        self._last = now
        left = (now - self._began) / max(done - self._first, 1) * (self._total - done)
        self.say(f"step {done:,} of {self._total:,}  {describe(figures, self._unit)}  {clock(left)} left")

    def say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def stop(self) -> None: ...


class Bar:
    """rich's progress bar on standard error, with loss, bits, speed and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._unit = ""

    def start(self, done: int, total: int, unit: str) -> None:
        self._unit = unit
        self._task = self._bar.add_task("training", total=total, completed=done, figures="")
        self._bar.start()

    def step(self, done: int, figures: Figures) -> None:
        self._bar.update(self._task, completed=done, figures=describe(figures, self._unit))

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)

    def stop(self) -> None:
        self._bar.stop()


def chosen(progress: bool | Progress) -> Progress:
    """True: a bar on a terminal where rich is installed, lines elsewhere. False: nothing. Or a Progress itself."""
    if progress is False:
        return Silent()
    if progress is not True:
        if not hasattr(progress, "start"):
            raise RecellError(message("progress is True, False or a Progress", came=f"{progress!r:.40}", write="progress=False"))
        return progress
    if not sys.stderr.isatty():
        return Lines()
    try:
        return Bar()
    except ImportError:
        return Lines()


def describe(figures: Figures, unit: str) -> str:
    """The figures on one line: ``loss 1.234  bits/token 1.780  64,000 characters/s``."""
    shown = [f"{name.replace('_per_', '/')} {value:.3f}" for name, value in figures.items() if name != "per_second"]
    if "per_second" in figures:
        shown.append(f"{figures['per_second']:,.0f} {unit}/s")
    return "  ".join(shown)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
