from __future__ import annotations

import math

import pytest

from recell import worked
from recell.worked.table import Worked


@pytest.fixture(scope="module")
def example() -> Worked:
    return worked.taipei()


def test_only_a_memory_tells_what_taipei_means(example: Worked) -> None:
    rows = [dict(zip(example.columns, row, strict=True)) for row in example.rows]
    arrive, leave = (row for row in rows if row["word"] == "Taipei")
    assert (arrive["slot"], leave["slot"]) == ("destination", "departure")
    for name in ("Elman", "Jordan"):
        assert arrive[name] > 0.9 and leave[name] > 0.9
    for name in ("no memory", "Jordan, softmax"):
        assert arrive[name] + leave[name] < 1.02
    assert all(row["no memory"] > 0.9 for row in rows if row["word"] != "Taipei")


def test_the_networks_compared(example: Worked) -> None:
    compared = {row[0]: row[1:] for row in example.more[0].rows}
    assert compared["Elman"][2] == compared["Jordan"][2] == 0
    # One word of five is a toss-up without memory: log 2 / 5 nats a word at the very least.
    assert compared["no memory"][1] >= math.log(2) / 5 - 1e-6 and compared["no memory"][2] == 4
    assert compared["no memory"][0] == compared["Elman"][0]  # the same network, its state thrown away


def test_it_states_its_seed(example: Worked) -> None:
    assert "seed 0" in example.text
