from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import DataError, ShapeError, cells
from recell.nn import Recurrent
from recell.nn.readout import Ridge, ridge


def narma10(steps: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Atiya & Parlos (2000): input (T, 1, 1) and target (T, 1, 1), which depends on the last ten of both."""
    u = np.random.default_rng(seed).uniform(0, 0.5, steps)
    y = np.zeros(steps)
    for t in range(9, steps - 1):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return torch.tensor(u).view(-1, 1, 1), torch.tensor(y).view(-1, 1, 1)


def distance(came: torch.Tensor, target: torch.Tensor) -> float:
    """Root mean squared error in deviations of the target."""
    return float(((came - target) ** 2).mean().sqrt() / target.std())


def test_a_reservoir_forecasts_narma_far_better_than_its_last_value() -> None:
    torch.manual_seed(0)
    layer = Recurrent(cells.EchoState(leak=1.0, radius=0.9, input_scale=0.3), 1, 200, dtype=torch.float64)
    u, y = narma10(3000, 1)
    y_next = y[1:]
    states, _ = layer(u[:-1])
    read = Ridge(1e-8, washout=100).add(states[:2000], y_next[:2000]).linear(torch.float64)
    with torch.no_grad():
        forecast = read(states[2000:])
    last_value = distance(y[2000:-1], y_next[2000:])
    assert last_value > 0.8
    assert distance(forecast, y_next[2000:]) < 0.25


def test_it_is_the_least_of_the_penalised_squares() -> None:
    rng = np.random.default_rng(2)
    h, target = rng.normal(size=(50, 3, 7)), rng.normal(size=(50, 3, 2))
    weight, bias = ridge(torch.tensor(h).float(), torch.tensor(target), 3.0, washout=4)
    rows, wanted = np.float64(np.float32(h[4:])).reshape(-1, 7), target[4:].reshape(-1, 2)
    # as least squares: a row more for every weight says that it is 0, times the root of the strength; the bias has none
    a = np.block([[rows, np.ones((len(rows), 1))], [np.sqrt(3.0) * np.eye(7), np.zeros((7, 1))]])
    expected = np.linalg.lstsq(a, np.concatenate([wanted, np.zeros((7, 2))]), rcond=None)[0]
    np.testing.assert_allclose(weight, expected[:7].T, rtol=1e-11)
    np.testing.assert_allclose(bias, expected[7], rtol=1e-11)


def test_pieces_equal_the_whole() -> None:
    torch.manual_seed(3)
    h, target = torch.randn(40, 2, 5), torch.randn(40, 2, 3)
    pieces = Ridge(0.1, washout=6).add(h[:15], target[:15]).add(h[15:], target[15:], washout=0)
    whole = ridge(h, target, 0.1, washout=6)
    assert pieces.count == 34 * 2
    for came, expected in zip(pieces.solve(), whole, strict=True):
        torch.testing.assert_close(came, expected, rtol=1e-12, atol=1e-12)


def test_the_module_computes_what_was_solved() -> None:
    torch.manual_seed(4)
    h = torch.randn(30, 5)
    read = Ridge(0.0).add(h, h @ torch.ones(5, 2) + 3).linear()
    assert read.weight.dtype == torch.float32
    torch.testing.assert_close(read(h), h @ torch.ones(5, 2) + 3)


def test_what_cannot_be_solved_is_refused() -> None:
    h, target = torch.randn(9, 4), torch.randn(9, 2)
    for strength in (-1, float("nan"), float("inf")):
        with pytest.raises(DataError, match=f"strength is a number, 0 or above; came {strength}"):
            Ridge(strength)
    for washout in (-5, float("nan"), 2.0, True):
        for call in (lambda steps: Ridge(washout=steps), lambda steps: Ridge().add(h, target, washout=steps)):
            with pytest.raises(DataError, match=f"washout is a whole number of steps, 0 or above; came {washout}"):
                call(washout)
    with pytest.raises(DataError, match="no step to learn from"):
        Ridge(washout=9).add(h, target).solve()
    with pytest.raises(ShapeError, match=r"came \(9, 4\) and \(9,\); write targets.unsqueeze"):
        ridge(h, target[:, 0])
    with pytest.raises(ShapeError, match="what was added before had 4 states and 2 targets; came 3 and 2"):
        Ridge().add(h, target).add(h[:, :3], target)
    with pytest.raises(DataError, match="depend on one another too closely for strength=0"):
        ridge(torch.cat([h, h[:, :1]], 1), target, 0)
    with pytest.raises(DataError, match="not finite"):
        ridge(h * torch.inf, target)
