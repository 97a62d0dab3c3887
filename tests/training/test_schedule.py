from __future__ import annotations

import pytest

from recell.errors import RecellError
from recell.training.schedule import Schedule


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_it_rises_to_the_peak_and_never_again(decay: str) -> None:
    rates = [Schedule(0.5, steps=100, warmup=10, decay=decay, floor=0.1)(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.05 * (step + 1) for step in range(10)])
    assert all(one >= two for one, two in zip(rates[9:], rates[10:], strict=False))
    assert min(rates[10:]) >= 0.05


def test_the_ends_of_each_decay() -> None:
    assert Schedule(2.0, steps=10, decay="none")(9) == 2.0
    assert Schedule(2.0, steps=10, decay="linear")(5) == pytest.approx(1.0)
    assert Schedule(2.0, steps=10, decay="cosine")(5) == pytest.approx(1.0)
    assert Schedule(2.0, steps=10, decay="cosine", floor=0.25)(10) == pytest.approx(0.5)
    assert Schedule(2.0, steps=10, decay="linear")(99) == 0.0


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(RecellError, match="cosine"):
        Schedule(0.1, 10, decay="cosin")
    with pytest.raises(RecellError, match="above 0"):
        Schedule(0.0, 10)
