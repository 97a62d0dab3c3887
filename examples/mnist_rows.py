"""Handwritten digits read row by row: 28 steps of 28 pixels (Le et al. 2015 read them so, pixel by pixel).

Data: MNIST, 60,000 / 10,000 images (LeCun et al. 1998). All of the training part trains, for a fixed number of epochs; nothing is
chosen on the test part.

    python examples/mnist_rows.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--epochs 8] [--threads 2]

With the defaults, about 6 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from on_data import arguments_of, data_parser, digits, show_seed

from recell.tasks import Classifier

BAR = 98.8
NETWORK: dict[str, Any] = {
    "cell": "LSTM", "hidden_size": 96, "pooling": "max", "dropout": 0.2, "scale": "all", "batch_size": 128,
    "learning_rate": 4e-3, "validation_fraction": 0.0,
}  # fmt: skip


def main() -> None:
    """A row for each seed, mean and spread, and the first seed's report."""
    arguments = parsed()
    (x, y), (asked, truth) = (digits(arguments.data, part, arguments.images) for part in ("train", "t10k"))
    print(f"MNIST by rows: {len(x):,} images to learn from, {len(asked):,} measured; to reach: {BAR} %", flush=True)
    found, task = [], None
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        began = time.perf_counter()
        task = Classifier(**NETWORK, epochs=arguments.epochs, seed=seed, threads=arguments.threads).fit(x, y, progress=False)
        figures = task.evaluate(asked, truth)
        found.append(100 * figures["accuracy"])
        show_seed(seed, figures, began)
    print(f"\ntest accuracy, %: mean {np.mean(found):.2f}, spread {np.std(found):.2f}\n")
    if task is not None:
        print(task.report(asked, truth))


def parsed() -> argparse.Namespace:
    parser = data_parser(
        "Classify MNIST's images row by row.", "sequence_classification", seeds=3, first_seed=0, epochs=8, threads=2
    )
    parser.add_argument("--images", type=int, help="how many of each part; default all")
    return arguments_of(parser)


if __name__ == "__main__":
    main()
