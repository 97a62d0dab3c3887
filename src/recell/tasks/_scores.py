"""How good class probabilities are: accuracy, F1, log loss, calibration; and for people, a report by class and the confusions.

Truth is the numbers of the classes (N,); or, where an example may have several labels, 0 and 1 for each, (N, classes), with
`bar`, the probability from which a label is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
_LEAST = 1e-7  # a probability of 0 would make the log loss infinite; float32 keeps no more than this beside 1


def figures(truth: NDArray[Any], probabilities: NDArray[Any], bar: float | None = None) -> dict[str, float]:
    """`accuracy` (all labels of an example right), `macro_f1` over the classes that are there or were given (scikit-learn's
    rule), `log_loss` (nats; where there may be several labels, the mean over labels), `calibration_error`."""
    from sklearn.metrics import f1_score

    no: Any = 0  # what a class counts that is nowhere
    chosen = decided(probabilities, bar)
    right = chosen == truth
    return {
        "accuracy": float(right.reshape(len(truth), -1).all(1).mean()),
        "macro_f1": float(f1_score(truth, chosen, average="macro", zero_division=no)),
        "log_loss": float(-np.log(np.maximum(_of_truth(truth, probabilities, bar), _LEAST)).mean()),
        "calibration_error": calibration_error(_of_truth(chosen, probabilities, bar).ravel(), right.ravel()),
    }


def decided(probabilities: NDArray[Any], bar: float | None) -> NDArray[np.int64]:
    """The most probable class (N,), or 0 and 1 for each label (N, classes)."""
    return probabilities.argmax(1) if bar is None else (probabilities >= bar).astype(np.int64)


def calibration_error(confidence: NDArray[Any], right: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, in bins of equal width weighted by their examples
    (Guo et al. 2017)."""
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=confidence.astype(np.float64) - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def report(truth: NDArray[Any], probabilities: NDArray[Any], names: Sequence[str], bar: float | None = None) -> str:
    """Precision, recall and F1 by class; below, where each example has one class, how often each was taken for each."""
    from sklearn.metrics import classification_report, confusion_matrix

    no: Any = 0
    chosen, numbers = decided(probabilities, bar), list(range(len(names)))
    by_class = str(classification_report(truth, chosen, labels=numbers, target_names=list(names), digits=4, zero_division=no))
    if bar is not None:
        return by_class.rstrip()
    return by_class + "\n" + _table(confusion_matrix(truth, chosen, labels=numbers), names)


def _table(counts: NDArray[Any], names: Sequence[str]) -> str:
    """Rows are what is true, columns what was said."""
    cells = [["true \\ said", *names], *([name, *map(str, row)] for name, row in zip(names, counts.tolist(), strict=True))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _of_truth(truth: NDArray[Any], probabilities: NDArray[Any], bar: float | None) -> NDArray[Any]:
    """The probability of each label's value: (N,), or (N, classes)."""
    if bar is None:
        return probabilities[np.arange(len(truth)), truth]
    return np.where(truth > 0, probabilities, 1 - probabilities)
