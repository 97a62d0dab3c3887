"""Handwritten digits read row by row: 28 steps of 28 pixels (Le et al. 2015 read them so, pixel by pixel).

Data: MNIST, 60,000 / 10,000 images (LeCun et al. 1998). All of the training part trains, for a fixed number of epochs; nothing is
chosen on the test part.

    python examples/mnist_rows.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--epochs 8] [--threads 2]

With the defaults, about 6 minutes on two cores that do nothing else.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from on_data import digit_arguments, digits, each_seed

from recell.tasks import Classifier

BAR = 98.8
NETWORK: dict[str, Any] = {
    "cell": "LSTM", "hidden_size": 96, "pooling": "max", "dropout": 0.2, "scale": "all", "batch_size": 128,
    "learning_rate": 4e-3, "validation_fraction": 0.0,
}  # fmt: skip


def main() -> None:
    """A row for each seed, mean and spread, and the last seed's report."""
    arguments = digit_arguments("Classify MNIST's images row by row.", epochs=8)
    train, test = (digits(arguments.data, part, arguments.images) for part in ("train", "t10k"))
    print(f"MNIST by rows: {len(train[0]):,} images to learn from, {len(test[0]):,} measured; to reach: {BAR} %", flush=True)
    task = each_seed(partial(Classifier, **NETWORK), arguments, train, test, "accuracy")
    if task is not None:
        print(f"\n{task.report(*test)}")


if __name__ == "__main__":
    main()
