"""Greedy CTC decoding: against by_hand's of one sequence, and published figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from recell import by_hand
from recell.decoding import ctc_greedy
from recell.errors import DataError, ShapeError

PUBLISHED = Path(os.environ.get("RECELL_DATA", "missing")) / "peer_numbers" / "ctc_loss_and_greedy.json"


@pytest.mark.parametrize("blank", (0, 2))
def test_every_sequence_is_decoded_as_alone(blank):
    scores = by_hand.log_softmax(np.random.default_rng(blank).normal(size=(30, 5, 3)))
    lengths = np.array([30, 0, 7, 1, 29])
    labels, prices = ctc_greedy(scores, lengths, blank=blank)
    for n, length in enumerate(lengths):
        expected, price = by_hand.ctc_greedy(scores[:length, n], blank=blank)
        assert labels[n] == expected
        np.testing.assert_allclose(prices[n], price if length else 0, rtol=1e-12)
    assert ctc_greedy(scores, blank=blank)[0][2] == by_hand.ctc_greedy(scores[:, 2], blank=blank)[0]


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="RECELL_DATA has the published decodes")
def test_published_decodes():
    cases = json.loads(PUBLISHED.read_text(encoding="utf-8"))["greedy"]["cases"]
    assert len(cases) == 2
    for case in cases:
        with np.errstate(divide="ignore"):
            labels, prices = ctc_greedy(np.log(case["probs"])[:, None], blank=case["blank"])
        assert labels == [case["decoded"]]
        np.testing.assert_allclose(prices, case["neg_sum_log"], rtol=1e-5)


@pytest.mark.parametrize(("shape", "options", "error"), [
    ((4, 3), {}, ShapeError), ((4, 2, 3), {"blank": 3}, DataError), ((4, 2, 3), {"lengths": [4, 5]}, DataError),
    ((4, 2, 3), {"lengths": [4]}, ShapeError),
])  # fmt: skip
def test_what_does_not_fit_is_one_line(shape, options, error):
    with pytest.raises(error):
        ctc_greedy(np.zeros(shape), **options)
