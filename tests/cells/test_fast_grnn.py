from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import CellError, cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, sigm
from tests.contract.harness import make


def step(p, x, s):
    h = s["h"]
    W, U = (p[k] if k in p else p[f"{k}_1"] @ p[f"{k}_2"] for k in "WU")
    u = x @ W.T + h @ U.T
    z, n = sigm(u + p["b_z"]), np.tanh(u + p["b_n"])
    return {"h": (sigm(p["zeta"]) * (1 - z) + sigm(p["nu"])) * n + z * h}


def test_step() -> None:
    equals_by_hand("FastGRNN", step)


RANKS = [((2, 5), {"W_1": (20, 2), "W_2": (2, 9), "U_1": (20, 5), "U_2": (5, 20)}),
         ((0, 5), {"W": (20, 9), "U_1": (20, 5), "U_2": (5, 20)}),
         ((2, 0), {"W_1": (20, 2), "W_2": (2, 9), "U": (20, 20)}),
         ((0, 0), {"W": (20, 9), "U": (20, 20)})]  # fmt: skip


@pytest.mark.parametrize(("ranks", "matrices"), RANKS, ids=[str(ranks) for ranks, _ in RANKS])
def test_a_rank_makes_two_factors_of_a_matrix(ranks: tuple[int, int], matrices: dict[str, tuple[int, int]]) -> None:
    low = cells.FastGRNN(rank_w=ranks[0], rank_u=ranks[1])
    shapes = {p.name: p.shape for p in low.parameters(low.resolve(9, 20))}
    assert {name: shape for name, shape in shapes.items() if len(shape) == 2} == matrices
    equals_by_hand(make(low, low.resolve(9, 20)), step)


@pytest.mark.parametrize("rank", [-1, 1.5, True, "16"])
def test_what_is_no_rank_is_refused(rank: object) -> None:
    with pytest.raises(CellError, match="a rank of FastGRNN is a whole number, 0 for the whole matrix; came .*; write rank_w=16"):
        cells.FastGRNN(rank_u=rank)


def test_it_starts_as_the_authors_code() -> None:
    torch.manual_seed(7)
    layer = Recurrent("FastGRNN", 9, 20)
    assert layer.zeta_l0 == 1.0 and layer.nu_l0 == -4.0
    assert torch.equal(layer.b_z_l0, torch.ones(20)) and torch.equal(layer.b_n_l0, torch.ones(20))
    for cell in (cells.FastGRNN, cells.FastGRNN(rank_w=100, rank_u=100)):
        for name, value in Recurrent(cell, 300, 300).state_dict().items():
            if value.ndim == 2:
                assert abs(float(value.std()) - 0.1) < 0.002 and abs(float(value.mean())) < 0.002, name
                assert float(value.abs().max()) > 0.35, f"{name} is not normal"
