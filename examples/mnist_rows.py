"""Handwritten digits read row by row: 28 steps of 28 pixels (Le et al. 2015 read them so, pixel by pixel).

Data: MNIST, 60,000 / 10,000 images (LeCun et al. 1998). All of the training part trains, for a fixed number of epochs; nothing is
chosen on the test part.

    python examples/mnist_rows.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--epochs 8] [--threads 2]

With the defaults, about 6 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from recell.data.images import labels_beside, read_images
from recell.tasks import Classifier

BAR = 98.8
NETWORK: dict[str, Any] = {
    "cell": "LSTM", "hidden_size": 96, "pooling": "max", "dropout": 0.2, "scale": "all", "batch_size": 128,
    "learning_rate": 4e-3, "validation_fraction": 0.0,
}  # fmt: skip


def main() -> None:
    """A row for each seed, mean and spread, and the first seed's report."""
    arguments = parsed()
    folder = arguments.data / "sequence_classification" / "mnist"
    (x, y), (asked, truth) = (images(folder / f"{part}-images-idx3-ubyte.gz", arguments.images) for part in ("train", "t10k"))
    print(f"MNIST by rows: {len(x):,} images to learn from, {len(asked):,} measured; to reach: {BAR} %", flush=True)
    found, task = [], None
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        began = time.perf_counter()
        task = Classifier(**NETWORK, epochs=arguments.epochs, seed=seed, threads=arguments.threads).fit(x, y, progress=False)
        figures = task.evaluate(asked, truth)
        found.append(100 * figures["accuracy"])
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        print(f"seed {seed}: {shown}  {time.perf_counter() - began:.0f} s", flush=True)
    print(f"\ntest accuracy, %: mean {np.mean(found):.2f}, spread {np.std(found):.2f}\n")
    if task is not None:
        print(task.report(asked, truth))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify MNIST's images row by row.")
    usual_data = os.environ.get("RECELL_DATA")
    parser.add_argument("--data", type=Path, default=usual_data, help="the folder with sequence_classification/")
    for name, usual in (("seeds", 3), ("first-seed", 0), ("epochs", 8), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=usual, help="default %(default)s")
    parser.add_argument("--images", type=int, help="how many of each part; default all")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the data's folder: --data, or the environment's RECELL_DATA")
    return arguments


def images(path: Path, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and their digits (N,)."""
    return read_images(path)[:most], labels_beside(path)[:most]


if __name__ == "__main__":
    main()
