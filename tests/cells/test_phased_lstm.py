from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import CellError, cells
from recell.nn import Recurrent
from tests.cells.by_hand import affine, equals_by_hand, sigm
from tests.contract.harness import case_of, make


def openness(phi, r_on, alpha):
    return np.select([phi < r_on / 2, phi < r_on], [2 * phi / r_on, 2 - 2 * phi / r_on], alpha * phi)


def step(p, x, s, dt, r_on=0.05, alpha=0.001):
    h, c = s["h"], s["c"]
    tau = 1 / p["rate"]
    clock = s["phase"] * tau + dt
    k = openness(np.mod(clock - p["shift"] * tau, tau) / tau, r_on, alpha)
    i = sigm(affine(p, "i", x, h) + p["w_i"] * c)
    f = sigm(affine(p, "f", x, h) + p["w_f"] * c)
    new = f * c + i * np.tanh(affine(p, "g", x, h))
    o = sigm(affine(p, "o", x, h) + p["w_o"] * new)
    return {"h": k * o * np.tanh(new) + (1 - k) * h, "c": k * new + (1 - k) * c, "phase": np.mod(clock, tau) / tau}


def test_step() -> None:
    equals_by_hand("PhasedLSTM", step)
    wide = make(cells.PhasedLSTM(r_on=0.6, alpha=0.2), case_of("PhasedLSTM").sizes)
    equals_by_hand(wide, lambda p, x, s, dt: step(p, x, s, dt, 0.6, 0.2))


def test_it_moves_in_its_part_of_the_period_alone_and_by_time_not_by_steps() -> None:
    layer = Recurrent(cells.PhasedLSTM(alpha=0.0, r_on=0.25, periods=(8.0, 8.0)), 2, 1).initialize(shift=0.25)
    x = torch.randn(33, 1, 2)
    y, last = layer(x, elapsed=torch.full((33, 1), 0.5))
    times = 0.5 * np.arange(1, 34)
    moved = np.append(True, (y[1:] != y[:-1]).any(-1).any(-1).numpy())
    phase = np.mod(times - 2, 8)
    assert np.array_equal(moved[1:], ((phase > 0) & (phase < 2))[1:])
    assert abs(last["phase"].item() - 0.5 / 8) < 1e-6  # 16.5 is two periods and a half of a unit


def test_it_starts_with_periods_of_all_lengths() -> None:
    torch.manual_seed(6)
    layer = Recurrent(cells.PhasedLSTM(periods=(0.5, 32.0)), 3, 5000)
    octaves = -layer.rate_l0.log2()
    assert -1 <= octaves.min() < -0.99 and 4.99 < octaves.max() <= 5 and abs(octaves.mean() - 2) < 0.06
    assert 0 <= layer.shift_l0.min() and layer.shift_l0.max() <= 1 and abs(layer.shift_l0.mean() - 0.5) < 0.02
    assert torch.equal(layer.b_f_l0, torch.full((5000,), 2.0))


def test_periods_that_are_none_are_refused() -> None:
    for periods in ((0.0, 1.0), (2.0, 1.0), (1.0, 2.0, 3.0)):
        with pytest.raises(CellError, match=r"the shortest and the longest; came .*; write periods=\(1.0, 20.0\)"):
            cells.PhasedLSTM(periods=periods)
