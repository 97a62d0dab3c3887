"""No example of its own: what the examples on real data share, their arguments, MNIST, and the row of a seed."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

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


def digits(data: Path, part: str, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's images (N, 28, 28) and their digits (N,), of the part "train" or "t10k"."""
    path = data / "sequence_classification" / "mnist" / f"{part}-images-idx3-ubyte.gz"
    return read_images(path)[:most], labels_beside(path)[:most]


def show_seed(seed: int, figures: Mapping[str, float], began: float) -> None:
    """A seed's figures in a row, and the seconds since `began`."""
    shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
    print(f"seed {seed}: {shown}  {time.perf_counter() - began:.0f} s", flush=True)
