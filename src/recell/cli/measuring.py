"""``recell bench``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from recell.cli.train import need_torch


def list_benchmarks() -> dict[str, str]:
    """Every benchmark's name and question."""
    need_torch("bench")
    from recell.bench.run import names, question_of

    return {name: question_of(name) for name in names()}


def measure(chosen: list[str], out: Path, *, threads: int, full: bool, as_json: bool) -> None:
    """Run, write, print: rows on standard error as they come, then all tables on standard output."""
    need_torch("bench")
    from recell.bench.run import run_all
    from recell.bench.timing import Options

    reports = run_all(chosen, Options(threads, full), out, lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        print(json.dumps([asdict(report) for report in reports]))
        return
    for report in reports:
        print(f"\n{report.markdown()}", end="")
