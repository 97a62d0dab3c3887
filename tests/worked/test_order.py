from __future__ import annotations

import math

from recell import worked
from tests.by_hand.setting import agree


def test_the_bag_cannot_tell_and_the_rnn_can() -> None:
    example = worked.order()
    counts, bag, rnn = (example.column(example.columns[k]) for k in (1, 3, 4))
    assert counts[0] == counts[1] and sorted(example.rows[0][0].split()) == sorted(example.rows[1][0].split())
    assert example.column("class")[0] != example.column("class")[1]
    agree(sum(bag), 1, 1e-6)  # one input, so its two answers are the two probabilities of one distribution
    assert all(p > 0.99 for p in rnn)
    (_, _, bag_nats, bag_right), (_, _, rnn_nats, rnn_right) = example.more[0].rows
    assert bag_nats >= math.log(2) - 1e-6 and bag_right == 1 and rnn_nats < 0.01 and rnn_right == 2


def test_the_same_seed_is_the_same_table() -> None:
    assert worked.order(seed=5) == worked.order(seed=5) != worked.order(seed=6)
    assert "seed 5" in worked.order(seed=5).text
