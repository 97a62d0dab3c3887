"""What a benchmark found: the rows of one table, as JSON and as Markdown."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recell._version import __version__
from recell.compiler.backends.cpu import library
from recell.data.files import make_folder, write_bytes

Row = dict[str, Any]  # column -> text or number
INSTALL = "pip install 'recell[bench]'"


@dataclass
class Report:
    """One benchmark's table and the machine that it was measured on."""

    name: str
    question: str
    text: str
    kind: str
    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list[Row])

    def json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        return cls(**json.loads(text))

    def markdown(self) -> str:
        """The question, how it was measured, the table, the machine."""
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.machine.items())
        parts = [
            f"# {self.question}",
            self.text,
            table(self.rows),
            f"Figures of the {self.kind}. {said}. `recell bench {self.name}`",
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, folder: Path) -> tuple[Path, Path]:
        """NAME.json and NAME.md in a folder, which is made where it is missing; DataError where the disk refuses."""
        make_folder(folder)
        paths = folder / f"{self.name}.json", folder / f"{self.name}.md"
        for path, content in zip(paths, (self.json(), self.markdown()), strict=True):
            write_bytes(path, content.encode("utf-8"))
        return paths


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table that is read in a terminal too; a column that a row does not have stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *[[shown(row.get(name, "")) for name in columns] for row in rows]]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def shown(value: Any) -> str:
    """A cell's text: three digits of a number that is no count.

    >>> [shown(value) for value in (0.01234, 1.5, 23.456, 1234.5, 7, "2 x", None)]
    ['0.0123', '1.50', '23.5', '1234', '7', '2 x', '']
    """
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    digits = 4 if abs(value) < 0.1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def against(what: str, other: str, seconds: Mapping[str, float], *, ours: str = "recell", at_least: float | None = None) -> Row:
    """A row that sets ours beside one other side: `seconds` a run, the ratio, and what was promised."""
    row: Row = {"what": what, "beside": other, "its ms": 1e3 * seconds[other], "recell ms": 1e3 * seconds[ours]}
    return row | {"ratio": seconds[other] / seconds[ours]} | ({} if at_least is None else {"at least": at_least})


def bounds(seconds: Mapping[str, float], other: str, operations: float, at_least: float | None) -> Row:
    """What no kernel of these products can pass, and the percentage of the peak that a promise asks of it.

    `seconds` has the other side, what is `around` our native passes, and the FMA `peak`, operations a second.
    """
    products = operations / seconds["peak"]
    row: Row = {"around ms": 1e3 * seconds["around"], "bound": seconds[other] / (products + seconds["around"])}
    if at_least is None:
        return row
    left = seconds[other] / at_least - seconds["around"]
    return row | {"needs %": round(100 * products / left) if left > 0 else "no time is left"}


def missing(what: str, side: str) -> Row:
    """The row of a side that is not installed."""
    return {"what": what, "beside": side, "its ms": f"not installed: {INSTALL}"}


def examine(threads: int, peak: float) -> dict[str, Any]:
    """The machine: what a reader must know to judge the figures."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "FMA_peak_GF/s": round(peak * 1e-9),
        "instruction_set": library.load().rc_isa().decode(),
        "recell": __version__,
        "torch": importlib.metadata.version("torch"),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    """Its name; Linux alone has one worth printing in /proc."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
