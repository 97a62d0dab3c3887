"""How near to the processor's FMA peak do the matrix products of others come?

A recurrent layer's training step is products, and so its speed is theirs: this table says what may be asked of them. The same
product, (rows, inner) by (inner, columns) in float32, by NumPy's BLAS and by torch's, each with all threads, on matrices that
were made before; best of 20. torch's MKL is measured as installed and, in a process of its own, believing that the processor
is Intel's (`recell bench training-mkl`).

What bounds it: the peak. Large square matrices are the easiest there are; the next three are the forward products of an LSTM
over all time steps at once, as if nothing had to wait for the step before; the last three what an LRU of 128 complex units does
at (1000, 16, 128, 128): into its state, out of it, and the weights' gradient.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recell.bench.questions.training_mkl import compiler, preload
from recell.bench.report import Row
from recell.bench.timing import Options, Step, in_child, peak, take_turns

KIND = "kernel"
SHAPES = ((4096, 4096, 4096), (2048, 2048, 2048), (6400, 256, 1024), (3200, 512, 2048), (2000, 1024, 4096),
          (16000, 128, 256), (16000, 256, 128), (256, 16000, 128))  # fmt: skip


def rows(options: Options) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        found = compiler()
        sides = {"NumPy": {"OPENBLAS_NUM_THREADS": str(options.threads)}, "torch": {}}
        if found:
            sides["torch, MKL preload"] = {"LD_PRELOAD": str(preload(found, Path(folder)))}
        for shape in SHAPES:
            row: Row = {"(rows, inner, columns)": str(shape)}
            for name, environment in sides.items():
                row[f"{name} % of peak"] = in_child(f"{__name__}:percent", name, shape, options.threads, environment=environment)
            yield row


def percent(name: str, shape: Any, threads: int) -> float:
    """What a side reaches, in percent of the peak of its process."""
    count, inner, columns = shape
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(size).astype(np.float32) for size in ((count, inner), (inner, columns)))
    out = np.empty((count, columns), np.float32)
    if name == "NumPy":
        seconds = best(lambda: np.matmul(a, b, out=out))
    else:
        torch.set_num_threads(threads)
        tensors = [torch.from_numpy(array) for array in (a, b, out)]
        seconds = best(lambda: torch.mm(tensors[0], tensors[1], out=tensors[2]))
    return 100 * 2.0 * count * inner * columns / seconds / peak(threads)


def best(step: Step, times: int = 20) -> float:
    """The fewest seconds of a step, after two that do not count."""
    return min(take_turns({"": step}, rounds=times)[""])
