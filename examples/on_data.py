"""No example of its own: what the examples on real data share, their arguments, MNIST, and a row for each seed."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recell.data.images import labels_beside, read_images


def data_parser(about: str, folder: str, **counts: int) -> argparse.ArgumentParser:
    """A parser with ``--data``, a folder that holds `folder`, and an option for each count: seeds=3 is ``--seeds``."""
    parser = argparse.ArgumentParser(description=about)
    usual = os.environ.get("RECELL_DATA")
    parser.add_argument("--data", type=Path, default=usual, help=f"the folder with {folder}/ (default: RECELL_DATA)")
    for name, count in counts.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=count, help="default %(default)s")
    return parser


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments given; without a folder of data the program ends, and says how to name one."""
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the data's folder: --data, or the environment's RECELL_DATA")
    return arguments


def digit_arguments(about: str, *, epochs: int) -> argparse.Namespace:
    """The arguments given to an example on MNIST's images."""
    parser = data_parser(about, "sequence_classification", seeds=3, first_seed=0, epochs=epochs, threads=2)
    parser.add_argument("--images", type=int, help="how many of each part; default all")
    return arguments_of(parser)


def digits(data: Path, part: str, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's images (N, 28, 28) and their digits (N,), of the part "train" or "t10k"."""
    path = data / "sequence_classification" / "mnist" / f"{part}-images-idx3-ubyte.gz"
    return read_images(path)[:most], labels_beside(path)[:most]


def spread(figures: Any) -> Any:
    """The sample deviation (divided by the number of seeds less one) of figures by seed, (seeds, ...); NaN of a single seed's."""
    rows = np.asarray(figures, np.float64)
    return rows.std(0, ddof=1) if len(rows) > 1 else np.full(rows.shape[1:], np.nan)


def each_seed(make: Callable[..., Any], arguments: argparse.Namespace, train: tuple[Any, Any], test: tuple[Any, Any],
              figure: str) -> Any:  # fmt: skip
    """Train and measure the task that `make` gives for each seed: prints its figures in a row, and one's mean and spread in %;
    the last task, or None without a seed."""
    found, task = [], None
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        began = time.perf_counter()
        task = make(epochs=arguments.epochs, seed=seed, threads=arguments.threads).fit(*train, progress=False)
        figures = task.evaluate(*test)
        found.append(100 * figures[figure])
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        print(f"seed {seed}: {shown}  {time.perf_counter() - began:.0f} s", flush=True)
    if found:
        print(f"\ntest {figure.replace('_', ' ')}, %: mean {np.mean(found):.2f}, spread {spread(found):.2f}")
    return task
