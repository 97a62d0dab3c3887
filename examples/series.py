"""Who speaks, and how does a wearer move? Series of many channels and different lengths, classified whole.

Data: JapaneseVowels (270 / 370 series of 12 channels and 7 to 29 steps, 9 speakers; Kudo et al. 1999) and BasicMotions (40 / 40
series of 6 channels and 100 steps, 4 movements), both as the UEA archive splits them. All of the training part trains, for fixed
steps; the pooling was chosen by 4-fold cross-validation on the training parts, nothing on the test parts. Beside: the
nearest training series by each channel's mean and deviation.

    python examples/series.py [--data $RECELL_DATA] [--seeds 3] [--steps 1000] [--threads 2]

With the defaults, about 2 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from on_data import arguments_of, data_parser, spread

from recell.data.labelled import LabelledFile
from recell.tasks import Classifier

BARS = {"JapaneseVowels": 97.0, "BasicMotions": 97.5}
NETWORK: dict[str, Any] = {
    "cell": "GRU", "hidden_size": 64, "pooling": "max", "dropout": 0.5, "input_dropout": 0.2, "learning_rate": 5e-3,
    "batch_size": 16, "validation_fraction": 0.0,
}  # fmt: skip


def main() -> None:
    """A row for each data set."""
    arguments = parsed()
    print(f"{'test accuracy, %':<18}{'mean':>8}{'spread':>8}{'to reach':>10}{'nearest':>9}{'seconds':>9}")
    for name, bar in BARS.items():
        train, test = (arguments.data / "sequence_classification" / name / f"{name}_{part}.ts" for part in ("TRAIN", "TEST"))
        began, found = time.perf_counter(), []
        for seed in range(arguments.seeds):
            task = Classifier(**NETWORK, steps=arguments.steps, seed=seed, threads=arguments.threads)
            found.append(100 * task.fit(train, progress=False).evaluate(test)["accuracy"])
        seconds, naive = time.perf_counter() - began, 100 * nearest(train, test)
        print(f"{name:<18}{np.mean(found):8.2f}{spread(found):8.2f}{bar:10.1f}{naive:9.1f}{seconds:9.0f}", flush=True)


def parsed() -> argparse.Namespace:
    parser = data_parser("Classify series of many channels.", "sequence_classification", seeds=3, steps=1000, threads=2)
    return arguments_of(parser)


def nearest(train: Path, test: Path) -> float:
    """The accuracy of taking the class of the training series whose means and deviations are nearest."""
    (known, classes), (asked, truth) = (described(path) for path in (train, test))
    scale = known.std(0)
    which = (((asked[:, None] - known) / scale) ** 2).sum(2).argmin(1)
    return float(np.mean(classes[which] == truth))


def described(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Each series' means and deviations, (N, 2 * channels), and its class."""
    examples = list(LabelledFile(path))
    rows = [np.concatenate([e.value.mean(0), e.value.std(0)]) for e in examples if isinstance(e.value, np.ndarray)]
    return np.array(rows), np.array([e.label for e in examples])


if __name__ == "__main__":
    main()
