"""An image of a digit, and its English name written letter by letter: "zero" to "nine".

Data: MNIST, 60,000 / 10,000 images (LeCun et al. 1998). Two small convolutions read the image, an LSTM writes until it ends the
word itself; a name is right if every letter is, and nothing follows. All of the training part trains, for a fixed number of
epochs; nothing is chosen on the test part.

    python examples/digit_names.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--epochs 3] [--threads 2]

With the defaults, about 5 minutes on two cores that do nothing else.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from on_data import digit_arguments, digits, each_seed

from recell.tasks import Captioner

BAR = 97.0
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NETWORK: dict[str, Any] = {
    "cell": "LSTM", "hidden_size": 64, "code_size": 64, "embedding_size": 16, "batch_size": 64, "validation_fraction": 0.0,
}  # fmt: skip


def main() -> None:
    """A row for each seed, mean and spread; the most frequent name is the naive answer."""
    arguments = digit_arguments("Write the names of MNIST's digits.", epochs=3)
    (x, y), (asked, truth) = (named_digits(arguments.data, part, arguments.images) for part in ("train", "t10k"))
    most = max(NAMES, key=y.count)
    print(f"names of {len(asked):,} digits, exact match in %; to reach: {BAR}; naive ({most!r} for all): "
          f"{100 * truth.count(most) / len(truth):.1f}", flush=True)  # fmt: skip
    task = each_seed(partial(Captioner, **NETWORK), arguments, (x, y), (asked, truth), "exact_match")
    if task is not None:
        show_mistakes(task, asked, truth)


def show_mistakes(task: Captioner, asked: np.ndarray, truth: list[str]) -> None:
    """What is written for images that are hard, the best three of a beam search with their probabilities."""
    wrong = [n for n, (name, answer) in enumerate(zip(truth, task.predict(asked), strict=True)) if name != answer][:3]
    for n, found in zip(wrong, task.beams(asked[wrong], width=3), strict=True):
        print(f"{truth[n]!r}, misread: " + ", ".join(f"{text} {np.exp(log):.2f}" for text, log in found))


def named_digits(data: Path, part: str, most: int | None) -> tuple[np.ndarray, list[str]]:
    """Images (N, 28, 28) and the names of their digits."""
    images, numbers = digits(data, part, most)
    return images, [NAMES[number] for number in numbers]


if __name__ == "__main__":
    main()
