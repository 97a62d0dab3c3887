"""CTC by hand: against the sum over all paths, torch, and published figures."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from recell import by_hand
from recell.errors import DataError, ShapeError
from tests.by_hand.setting import agree, random

PUBLISHED = Path(os.environ.get("RECELL_DATA", "missing")) / "peer_numbers" / "ctc_loss_and_greedy.json"


def read(path: tuple[int, ...], blank: int) -> list[int]:
    """What a path reads as: repeats merged, blanks dropped."""
    return [k for k, _ in itertools.groupby(path) if k != blank]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 3, 1], [3, 3]])
def test_the_loss_is_the_sum_over_all_paths(labels: list[int], blank: int) -> None:
    logits = random(len(labels)).normal(size=(4, 4))
    y = by_hand.softmax(logits)
    paths = itertools.product(range(4), repeat=4)
    total = sum(np.prod([y[t, k] for t, k in enumerate(path)]) for path in paths if read(path, blank) == labels)
    agree(by_hand.ctc_loss(logits, labels, blank=blank), -np.log(total))


def test_the_gradient_is_that_of_the_loss() -> None:
    logits, labels = random(1).normal(size=(7, 5)), [1, 1, 3]
    found = by_hand.ctc_gradient(logits, labels)
    by_hand.gradient_check(lambda: by_hand.ctc_loss(logits, labels), {"logits": logits}, {"logits": found})


def test_torch_gives_the_same() -> None:
    logits, labels = random(2).normal(size=(40, 9)), random(3).integers(1, 9, 12)
    leaf = torch.from_numpy(logits).requires_grad_()
    loss = torch.nn.functional.ctc_loss(leaf.log_softmax(-1), torch.from_numpy(labels), [40], [12], reduction="sum")
    loss.backward()
    agree(by_hand.ctc_loss(logits, labels), float(loss.detach()))
    agree(by_hand.ctc_gradient(logits, labels), leaf.grad.numpy(), 1e-8)


def test_too_few_steps_are_an_infinite_loss_without_gradient() -> None:
    logits = random(4).normal(size=(3, 4))
    assert by_hand.ctc_loss(logits, [1, 1, 2]) == np.inf
    with pytest.raises(DataError, match="no path"):
        by_hand.ctc_gradient(logits, [1, 1, 2])


def test_long_sequences_do_not_vanish() -> None:
    logits = random(5).normal(size=(2000, 30))
    assert np.isfinite(by_hand.ctc_loss(logits, random(6).integers(1, 30, 200)))


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="RECELL_DATA has the published figures")
def test_published_losses_gradients_and_greedy_decodes() -> None:
    published = json.loads(PUBLISHED.read_text())
    assert len(published["loss"]) >= 3 and len(published["greedy"]["cases"]) == 2
    for entry in published["loss"]:
        logits = np.log(entry["probabilities"]) if "probabilities" in entry else np.array(entry["logits"], float)
        agree(by_hand.ctc_loss(logits, entry["labels"], blank=entry["blank"]), entry["loss"], 1e-5)
        if "grad_wrt_logits" in entry:
            agree(by_hand.ctc_gradient(logits, entry["labels"], blank=entry["blank"]), entry["grad_wrt_logits"], 1e-6)
    for entry in published["greedy"]["cases"]:
        with np.errstate(divide="ignore"):
            labels, price = by_hand.ctc_greedy(np.log(entry["probs"]), blank=entry["blank"])
        assert labels == entry["decoded"]
        agree(price, entry["neg_sum_log"], 1e-5)


@pytest.mark.parametrize("labels, error, told", [
    ([0], DataError, "blank"),
    ([9], DataError, "9"),
    ([[1]], ShapeError, "dimension"),
])  # fmt: skip
def test_wrong_labels_are_one_line(labels: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        by_hand.ctc_loss(np.zeros((4, 5)), labels)  # type: ignore[arg-type]
