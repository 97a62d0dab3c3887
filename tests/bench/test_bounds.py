from __future__ import annotations

import pytest

from recell.bench.report import bounds

SECONDS = {"torch.nn": 10e-3, "recell": 6e-3, "around": 1e-3, "peak": 100e9}
OPERATIONS = 400e6  # 4 ms at the peak


def test_bound_is_products_at_the_peak_and_what_is_around_them() -> None:
    assert bounds(SECONDS, "torch.nn", OPERATIONS, 1.5)["bound"] == pytest.approx(2.0)


@pytest.mark.parametrize("bar,needs", [(2.0, 100), (1.25, 57), (4.0, 267), (10.0, "no time is left")])
def test_needs_is_the_share_of_the_peak_that_a_promise_leaves(bar: float, needs: object) -> None:
    assert bounds(SECONDS, "torch.nn", OPERATIONS, bar)["needs %"] == needs
