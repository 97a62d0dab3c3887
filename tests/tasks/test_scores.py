from __future__ import annotations

import numpy as np
import pytest

from recell.tasks._scores import counts, decided, figures_of, report, scores_of
from recell.tasks._spans import strict_spans


def figures(truth: np.ndarray, probabilities: np.ndarray, bar: float | None = None) -> dict[str, float]:
    return figures_of(counts(truth, probabilities, bar), bar)


def random_answers(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, 50), rng.dirichlet(np.ones(3), 50).astype(np.float32)


def test_figures_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, p = random_answers()
    found = figures(truth, p)
    chosen = p.argmax(1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, p / p.sum(1, keepdims=True), labels=[0, 1, 2]), rel=1e-5)


def test_a_class_that_cannot_be_given_is_never_right() -> None:
    truth, p = random_answers()
    strange = np.where(np.arange(50) < 10, -1, truth)
    found, known = figures(strange, p), figures(truth[10:], p[10:])
    assert found["accuracy"] == pytest.approx(known["accuracy"] * 40 / 50)
    assert found["log_loss"] == pytest.approx((known["log_loss"] * 40 - 10 * np.log(1e-7)) / 50)


def test_figures_where_there_may_be_several_labels() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    truth, p = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    found, chosen = figures(truth, p, 0.3), (p >= 0.3).astype(int)
    np.testing.assert_array_equal(decided(p, 0.3), chosen)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    wanted = np.mean([metrics.log_loss(truth[:, k], p[:, k]) for k in range(3)])
    assert found["log_loss"] == pytest.approx(wanted)


@pytest.mark.parametrize("tags", [[["O"]], [["B-a", "O"]], [["B-a"], ["O"]]])
def test_f1_of_nothing_is_seqevals_and_scikit_learns(tags: list[list[str]]) -> None:
    metrics, scheme = pytest.importorskip("seqeval.metrics"), pytest.importorskip("seqeval.scheme")
    options = {"mode": "strict", "scheme": scheme.IOB2, "zero_division": 0}
    nothing = [["O"] * len(row) for row in tags]
    for truth, found in ((tags, nothing), (nothing, tags), (tags, tags)):
        theirs = [one(truth, found, **options) for one in (metrics.precision_score, metrics.recall_score, metrics.f1_score)]
        assert list(scores_of(*strict_spans(truth, found).tolist())) == pytest.approx(theirs)


def test_calibration_error() -> None:
    """Ten answers of confidence 0.9 with 7 right, thirty of 0.5 with 15 right: (10 * 0.2 + 30 * 0) / 40."""
    confidence = np.array([0.9] * 10 + [0.5] * 30)
    right = np.array([True] * 7 + [False] * 3 + [True, False] * 15)
    p = np.stack([confidence, 0.6 * (1 - confidence), 0.4 * (1 - confidence)], 1)
    assert figures(np.where(right, 0, 1), p)["calibration_error"] == pytest.approx(0.05)
    assert figures(np.array([0, 0]), np.eye(3)[[0, 0]])["calibration_error"] == 0


def test_the_report_counts_confusions() -> None:
    pytest.importorskip("sklearn")
    p = np.eye(3)[[0, 1, 1, 0]]
    text = report(np.array([0, 1, 2, 2]), p.argmax(1), ["cat", "dog", "emu"])
    assert [line.split() for line in text.splitlines()[-3:]] == [["cat", *"100"], ["dog", *"010"], ["emu", *"110"]]
    assert report(np.array([0, 0]), np.array([0, 0]), ["cat"]).splitlines()[-1].split() == ["cat", "2"]
    assert "true" not in report(np.eye(3, dtype=int), np.eye(3, dtype=int), ["cat", "dog", "emu"])


@pytest.mark.parametrize("bar", [None, 0.3])
def test_counts_of_parts_add_up_to_those_of_all(bar: float | None) -> None:
    truth, p = random_answers(3)
    truth = truth if bar is None else np.eye(3)[truth]
    parts = [counts(truth[part], p[part], bar) for part in (slice(0, 7), slice(7, 8), slice(8, 50))]
    added = {name: sum(part[name] for part in parts) for name in parts[0]}
    assert figures_of(added, bar) == pytest.approx(figures(truth, p, bar))
