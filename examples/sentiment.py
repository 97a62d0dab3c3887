"""Is a sentence about a film praise or blame? A recurrent network beside naive Bayes, and both together, by 10-fold validation.

Data: rt-polarity (Pang and Lee 2005), 5,331 + 5,331 sentences; folds drawn by each seed, the same for all rows of the table. No
word vectors from outside. Within each fold a tenth of the training part is held out: it chooses the network's best epoch, and how
much the network's log odds weigh beside those of naive Bayes (on single words and pairs). What is measured, no choice has seen.

    python examples/sentiment.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--folds 10] [--epochs 3] [--threads 2]

With the defaults, about 12 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from on_data import arguments_of, data_parser, spread
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from recell.data.labelled import LabelledFile
from recell.tasks import Classifier

ROWS = ("naive Bayes", "recell", "both")
NETWORK: dict[str, Any] = {
    "cell": "GRU", "hidden_size": 64, "embedding_size": 100, "pooling": "max", "dropout": 0.5, "input_dropout": 0.5,
    "minimum_count": 2, "unknown_rate": 0.05, "batch_size": 50, "learning_rate": 3e-3,
}  # fmt: skip


def main() -> None:
    """A row for each seed and fold as they come, and the table."""
    arguments = parsed()
    texts, labels = sentences(arguments.data / "classification", arguments.sentences)
    print(f"rt-polarity: {len(texts):,} sentences, {arguments.folds} folds", flush=True)
    began, means = time.perf_counter(), []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed).split(texts, labels)
        found = []
        for number, (learnt, measured) in enumerate(folds):
            found.append(one_fold(texts, labels, learnt, measured, seed * arguments.folds + number, arguments))
            print(f"seed {seed}, fold {number}: {shown(found[-1])}", flush=True)
        means.append(np.mean(found, 0))
        print(f"seed {seed}: {shown(means[-1])}", flush=True)
    print(f"\n{'accuracy, %':<14}{'mean':>8}{'spread':>8}   (sample deviation of the seeds' means); to reach: 75")
    for name, mean, deviation in zip(ROWS, np.mean(means, 0), spread(means), strict=True):
        print(f"{name:<14}{mean:8.2f}{deviation:8.2f}")
    print(f"{time.perf_counter() - began:.0f} s")


def shown(accuracies: Sequence[float]) -> str:
    return "  ".join(f"{name} {accuracy:.2f}" for name, accuracy in zip(ROWS, accuracies, strict=True))


def parsed() -> argparse.Namespace:
    parser = data_parser(
        "Sentiment of sentences: a recurrent network beside naive Bayes.", "classification",
        seeds=3, first_seed=0, folds=10, epochs=3, threads=2,
    )  # fmt: skip
    parser.add_argument("--sentences", type=int, help="how many of each class; default all")
    return arguments_of(parser)


def sentences(folder: Path, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Blame and praise; bytes that are no UTF-8 become a mark."""
    examples = list(LabelledFile(folder, encoding_errors="replace"))
    kept = [example for label in ("neg", "pos") for example in [one for one in examples if one.label == label][:most]]
    return np.array([example.value for example in kept], object), np.array([example.label for example in kept])


def one_fold(texts, labels, learnt, measured, seed: int, arguments: argparse.Namespace) -> list[float]:
    """The accuracies in percent of naive Bayes, of the network, and of both."""
    order = np.random.default_rng(seed).permutation(learnt)
    held, trained = order[: len(order) // 10], order[len(order) // 10 :]
    network = Classifier(**NETWORK, epochs=arguments.epochs, seed=seed, threads=arguments.threads)
    network.fit(texts[trained], labels[trained], validation=(texts[held], labels[held]), progress=False)
    counted, on_part = (bayes().fit(texts[part], labels[part]) for part in (learnt, trained))
    weight = best_weight(logs(on_part, texts[held]), logs(network, texts[held]), labels[held] == "pos")
    a, b = logs(counted, texts[measured]), logs(network, texts[measured])
    praise = labels[measured] == "pos"
    return [100 * float(np.mean((score > 0) == praise)) for score in (a, b, (1 - weight) * a + weight * b)]


def bayes() -> Any:
    return make_pipeline(CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+"), MultinomialNB())


def logs(model: Any, texts: np.ndarray) -> np.ndarray:
    """By how much praise is more probable than blame, in nats, (N,)."""
    p = np.clip(model.predict_proba(list(texts)), 1e-7, 1)
    return np.log(p[:, 1]) - np.log(p[:, 0])


def best_weight(a: np.ndarray, b: np.ndarray, praise: np.ndarray) -> float:
    """How much of b beside a: the middle of the weights with the fewest errors."""
    weights = np.linspace(0, 1, 41)
    right = [np.mean(((1 - w) * a + w * b > 0) == praise) for w in weights]
    return float(np.median(weights[np.flatnonzero(np.array(right) == max(right))]))


if __name__ == "__main__":
    main()
