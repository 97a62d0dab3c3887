"""How time is taken: sides that take turns, the processor's peak, processes of their own."""

from __future__ import annotations

import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recell.compiler.backends.cpu import library
from recell.errors import RecellError, message

Step = Callable[[], object]


@dataclass(frozen=True)
class Options:
    """What every benchmark is told."""

    threads: int = 2
    full: bool = False  # the full shapes too, however long they take


def take_turns(
    sides: Mapping[str, Step],
    *,
    rounds: int,
    warm: int = 2,
    runs: int = 1,
    settle: int = 0,
    rest: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
    whole: Callable[[], bool] | None = None,
) -> dict[str, list[float]]:
    """Seconds of every run that counts, by side. In each round every side has its turn: a slow moment of the machine meets all.

    A turn is `settle` runs that do not count, then `runs` that do; before it all `rest` for some seconds, where sides have
    threads of their own: those of the turn before would still be spinning. The first `warm` rounds do not count, nor those
    before or after which the machine is not `whole` (`has_its_cores`): others are run in their place, at most twice as many;
    where it is whole for less than half of the rounds, all count.
    """
    whole = whole or has_its_cores
    every, kept = list[dict[str, list[float]]](), list[dict[str, list[float]]]()
    before = False  # the first rounds warm up
    for number in range(warm + 3 * rounds):
        taken = {name: _turn(step, settle, runs, rest, clock) for name, step in sides.items()}
        time.sleep(rest)
        after = whole()
        if number >= warm:
            every.append(taken)
            kept += [taken] if (before or not number) and after else []
        before = after
        if len(kept) == rounds:
            break
    counted = kept if 2 * len(kept) >= rounds else every
    return {name: [seconds for taken in counted for seconds in taken[name]] for name in sides}


def _turn(step: Step, settle: int, runs: int, rest: float, clock: Callable[[], float]) -> list[float]:
    time.sleep(rest)
    taken = list[float]()
    for _ in range(settle + runs):
        start = clock()
        step()
        taken.append(clock() - start)
    return taken[settle:]


def has_its_cores() -> bool:
    """Whether each thread has a core: a machine that shares its processor with others may lack one for minutes."""
    threads = library.thread_count()
    return threads == 1 or peak(threads, 1) > 0.85 * threads * _alone()


@functools.cache
def _alone() -> float:
    return peak(1, 5)


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each side."""
    return {name: statistics.median(values) for name, values in taken.items()}


def peak(threads: int, times: int = 20) -> float:
    """The best FMA rate seen, in float32 operations a second; one measurement takes about 30 ms."""
    return max(library.load().rc_fma_peak(threads, 0) for _ in range(times)) * 1e9


def in_child(target: str, *arguments: Any, environment: Mapping[str, str] | None = None) -> Any:
    """What ``module:function`` returns for these arguments in a fresh process; both must be known to JSON."""
    command = [sys.executable, "-m", "recell.bench.timing", target, json.dumps(arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
    if ran.returncode != 0:
        lines = ran.stderr.strip().splitlines() or ["no word of why"]
        raise RecellError(message(f"{target} failed in a process of its own: {lines[-1]}"))
    return json.loads(ran.stdout.splitlines()[-1])


def _child(target: str, arguments: str) -> None:
    module, _, function = target.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    _child(*sys.argv[1:])
