from __future__ import annotations

import numpy as np
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand


def eigenvalues(p) -> np.ndarray:
    return np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))


def step(p, x, s):
    """The same in complex numbers."""
    decay, B, C = eigenvalues(p), p["B_re"] + 1j * p["B_im"], p["C_re"] + 1j * p["C_im"]
    h = decay * (s["h_re"] + 1j * s["h_im"]) + np.exp(p["gamma_log"]) * (x @ B.T)
    return {"h_re": h.real, "h_im": h.imag, "output": (h @ C.T).real + p["D"] * x}


def test_step() -> None:
    equals_by_hand("LRU", step)


def start(cell, hidden=4000):
    layer = Recurrent(cell, 3, hidden, dtype=torch.float64)
    return {name.removesuffix("_l0"): p.detach().numpy() for name, p in layer.named_parameters()}


def test_its_eigenvalues_start_evenly_on_the_ring() -> None:
    found = eigenvalues(start(cells.LRU(r_min=0.4, r_max=0.9, max_phase=0.5)))
    assert (np.abs(found) >= 0.4).all() and (np.abs(found) <= 0.9).all()
    assert (np.angle(found) >= 0).all() and (np.angle(found) <= 0.5).all()
    inner = np.abs(found) <= np.sqrt((0.4**2 + 0.9**2) / 2)  # half of the ring's area
    assert abs(inner.mean() - 0.5) < 0.03 and abs((np.angle(found) <= 0.25).mean() - 0.5) < 0.03


def test_its_matrices_start_with_the_papers_variances() -> None:
    p = start("LRU")
    for name, variance in {"B_re": 1 / 6, "B_im": 1 / 6, "C_re": 1 / 4000, "C_im": 1 / 4000}.items():
        assert abs(p[name].var() / variance - 1) < 0.1, name


def test_white_noise_leaves_the_state_as_strong_as_it_is() -> None:
    """What gamma is for: E |h|^2 = |B|^2 for every eigenvalue."""
    torch.manual_seed(0)
    layer = Recurrent(cells.LRU(r_min=0.5, r_max=0.95), 3, 40)
    _, state = layer(torch.randn(200, 2000, 3))
    power = (state["h_re"] ** 2 + state["h_im"] ** 2)[0].mean(0)
    expected = (layer.B_re_l0**2 + layer.B_im_l0**2).sum(1)
    torch.testing.assert_close(power, expected, rtol=0.15, atol=0)


def test_its_normaliser_starts_at_what_its_eigenvalues_ask_for() -> None:
    p = start("LRU", hidden=50)
    np.testing.assert_allclose(np.exp(p["gamma_log"]), np.sqrt(1 - np.abs(eigenvalues(p)) ** 2), rtol=1e-12)
    layer = Recurrent("LRU", 3, 50, dtype=torch.float64)
    before = layer.nu_log_l0.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.nu_log_l0, before)
    torch.testing.assert_close(layer.gamma_log_l0.exp(), (1 - (-2 * layer.nu_log_l0.exp()).exp()).sqrt())


def test_a_modulus_of_one_has_a_finite_gradient() -> None:
    layer = Recurrent("LRU", 3, 5).initialize(nu_log=-40.0)
    y, _ = layer(torch.randn(9, 2, 3))
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
