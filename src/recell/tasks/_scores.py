"""How good class probabilities are: accuracy, F1, log loss, calibration; and for people, a report by class and the confusions.

Truth is the numbers of the classes (N,), -1 for one that cannot be given; or, where an example may have several labels, 0 and 1
for each, (N, classes), with `bar`, the probability from which a label is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.errors import needing

BINS = 15
_WIDEST = 120  # characters of a table's heading
_LEAST = 1e-7  # a probability of 0 would make the log loss infinite; float32 keeps no more than this beside 1


def counts(truth: NDArray[Any], probabilities: NDArray[Any], bar: float | None = None) -> dict[str, Any]:
    """The sums over examples that the figures are made of: those of two parts of some data, added, are those of both."""
    chosen, classes = decided(probabilities, bar), np.arange(probabilities.shape[1])
    right = chosen == truth
    there, said = (rows[:, None] == classes if bar is None else rows > 0 for rows in (truth, chosen))
    sure = _of_truth(chosen, probabilities, bar).ravel()
    return {
        "examples": len(truth),
        "right": int(right.reshape(len(truth), -1).all(1).sum()),
        "both": (there & said).sum(0), "either": there.sum(0) + said.sum(0),
        "decisions": right.size,
        "nats": float(-np.log(np.maximum(_of_truth(truth, probabilities, bar), _LEAST)).sum(dtype=np.float64)),
        "gaps": _gaps(sure, right.ravel(), BINS),
    }  # fmt: skip


def figures_of(counts: Mapping[str, Any], bar: float | None = None) -> dict[str, float]:
    """`accuracy` (all labels of an example right), `macro_f1` over the classes that are there or were given (scikit-learn's rule;
    where there may be several labels, over all), `log_loss` (nats; with several labels, the mean over them), and
    `calibration_error`: how far confidence and accuracy lie apart, in bins of equal width weighted by their examples (Guo et al.
    2017)."""
    f1 = 2 * counts["both"] / np.maximum(counts["either"], 1)
    return {
        "accuracy": counts["right"] / counts["examples"],
        "macro_f1": float(f1[counts["either"] > 0].mean() if bar is None else f1.mean()),
        "log_loss": counts["nats"] / counts["decisions"],
        "calibration_error": float(np.abs(counts["gaps"]).sum() / counts["decisions"]),
    }


def decided(probabilities: NDArray[Any], bar: float | None) -> NDArray[np.int64]:
    """The most probable class (N,), or 0 and 1 for each label (N, classes)."""
    return probabilities.argmax(1) if bar is None else (probabilities >= bar).astype(np.int64)


def _gaps(confidence: NDArray[Any], right: NDArray[Any], bins: int) -> NDArray[np.float64]:
    """The sum over each bin's examples of confidence less what is right."""
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return np.bincount(which, weights=confidence.astype(np.float64) - right, minlength=bins).astype(np.float64)


def report(truth: NDArray[Any], chosen: NDArray[Any], names: Sequence[str]) -> str:
    """Precision, recall and F1 by class; below, where each example has one class, how often each was taken for each."""
    with needing("a report by class", "sklearn", extra="tasks"):
        from sklearn.metrics import classification_report

    no: Any = 0
    numbers = list(range(len(names)))
    by_class = str(classification_report(truth, chosen, labels=numbers, target_names=list(names), digits=4, zero_division=no))
    if truth.ndim == 2:
        return by_class.rstrip()
    confusions = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusions, (truth, chosen), 1)
    return by_class + "\n" + confusions_table(confusions.tolist(), names, names)


def by_name(truth: Sequence[str], chosen: Sequence[str], names: Sequence[str]) -> str:
    """`report` on names; those in `truth` that are not of `names` come last."""
    every = list(dict.fromkeys([*names, *sorted(set(truth))]))
    numbers = {name: number for number, name in enumerate(every)}
    return report(np.array([numbers[name] for name in truth]), np.array([numbers[name] for name in chosen]), every)


def scores_of(right: int, there: int, came: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of how many were found and right, were there, and were found; of nothing each is 0, as
    seqeval and scikit-learn have it (`zero_division=0`)."""
    return right / max(came, 1), right / max(there, 1), 2 * right / max(there + came, 1)


def scores_shown(right: int, there: int, came: int) -> list[str]:
    """The three of `scores_of` as a table's cells; a dash each where nothing was there and nothing found."""
    return [f"{score:.4f}" for score in scores_of(right, there, came)] if there or came else ["-"] * 3


def confusions_table(counts: Sequence[Sequence[object]], true: Sequence[str], said: Sequence[str]) -> str:
    """Rows are what is true, columns what was said; those that are rows too by number where their names would be too wide."""
    rows, columns = list(true), list(said)
    if sum(len(name) + 2 for name in columns) > _WIDEST:
        for place, (row, column) in enumerate(zip(true, said, strict=True)):
            if row == column:  # all but "(spurious)" and "(missed)"
                rows[place], columns[place] = f"{row} {place + 1}", str(place + 1)
    table = [[name, *map(str, row)] for name, row in zip(rows, counts, strict=True)]
    return aligned([["true \\ said", *columns], *table])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """A table of rows of texts, the first of them the heading."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _of_truth(truth: NDArray[Any], probabilities: NDArray[Any], bar: float | None) -> NDArray[Any]:
    """The probability of each label's value: (N,), or (N, classes)."""
    if bar is None:
        return np.where(truth < 0, 0, probabilities[np.arange(len(truth)), truth])
    return np.where(truth > 0, probabilities, 1 - probabilities)
