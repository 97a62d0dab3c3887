from __future__ import annotations

import numpy as np

from recell import cells
from tests.cells.by_hand import equals_by_hand, parameters_of
from tests.contract.harness import case_of


def step(p, x, s):
    h = s["h"]
    return {"h": h + 0.2 * np.tanh(h @ (p["U"] - p["U"].T).T - 0.1 * h + x @ p["W"].T + p["b"])}


def test_step() -> None:
    equals_by_hand("AntisymmetricRNN", step)


def test_what_it_holds_neither_grows_nor_fades_but_by_its_diffusion() -> None:
    """Eigenvalues of the Jacobian's matrix, which the paper reads: their real parts are -gamma, all of them."""
    u = parameters_of(case_of("AntisymmetricRNN"))["U"]
    values = np.linalg.eigvals(u - u.T - 0.1 * np.eye(len(u)))
    np.testing.assert_allclose(values.real, -0.1, atol=1e-12)
    assert np.abs(values.imag).max() > 0.5


def test_its_constants() -> None:
    assert cells.AntisymmetricRNN(gamma=0.1, epsilon=0.2) == cells.AntisymmetricRNN != cells.AntisymmetricRNN(gamma=0.0)
