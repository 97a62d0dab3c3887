"""How long does a training step take beside torch.nn's when MKL believes that the processor is Intel's?

torch's products run in MKL, which on other makers' processors chooses slower code than they could run. A library preloaded
into the process, whose `mkl_serv_intel_cpu_true` returns 1, makes it choose as on Intel's: torch's best, which no user has
unless they do the same. Otherwise as in `training`: three processes with both sides in each, the middle one shown.

Promised is that no row falls below 1.1. `around`, `bound` and `needs` are as in `training`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recell.bench.questions import training
from recell.bench.report import Row
from recell.bench.sides import KINDS
from recell.bench.timing import Options

KIND = "module"
SOURCE = "int mkl_serv_intel_cpu_true(void) {\n    return 1;\n}\n"
AT_LEAST = 1.1


def rows(options: Options) -> Iterator[Row]:
    found = compiler()
    if found is None:
        yield {"what": "all shapes", "beside": "torch.nn, MKL preload", "its ms": "not measured: needs Linux and a C compiler"}
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {"LD_PRELOAD": str(preload(found, Path(folder)))}
        for shape in training.PROMISED:
            for row in training.measure(shape, [AT_LEAST] * len(KINDS), options.threads, environment):
                yield row | {"beside": "torch.nn, MKL preload"}


def compiler() -> str | None:
    """A C compiler where a library can be preloaded."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None) if sys.platform.startswith("linux") else None


def preload(compiler: str, folder: Path) -> Path:
    """The library, compiled into a folder."""
    source, built = folder / "intel.c", folder / "intel.so"
    source.write_text(SOURCE, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True)
    return built
