from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recell import cells
from recell.nn import Recurrent
from tests.cells.by_hand import equals_by_hand, parameters_of, sigm
from tests.contract.harness import Case, case_of, forward


def step(p, x, s, dt):
    value, mask = np.split(x, 2, axis=1)
    seen = mask > 0
    delta = np.where(s["t"] == 0, 0, s["d"] + dt)
    decay = lambda a: np.exp(-np.maximum(0, a))  # noqa: E731
    last = s["v"] + p["mean"]
    gamma_x = decay(p["w_gamma_x"] * delta + p["b_gamma_x"])
    filled = np.where(seen, value, gamma_x * last + (1 - gamma_x) * p["mean"])
    h = decay(delta @ p["W_gamma_h"].T + p["b_gamma_h"]) * s["h"]
    read = lambda k, state: filled @ p[f"W_{k}"].T + state @ p[f"U_{k}"].T + mask @ p[f"V_{k}"].T + p[f"b_{k}"]  # noqa: E731
    z, r = sigm(read("z", h)), sigm(read("r", h))
    h = (1 - z) * h + z * np.tanh(read("n", r * h))
    return {"h": h, "v": np.where(seen, value, last) - p["mean"], "d": np.where(seen, 0, delta), "t": s["t"] + 1}


def masked(case: Case, mask: np.ndarray) -> Case:
    return replace(case, x=np.concatenate([case.x[..., : mask.shape[-1]], mask], -1))


def test_step() -> None:
    equals_by_hand("GRUD", step)
    case = case_of("GRUD")
    equals_by_hand(masked(case, (np.random.default_rng(1).random((*case.x.shape[:2], 2)) < 0.5).astype(float)), step)


def test_without_decay_and_gaps_it_is_the_gru_whose_reset_gate_comes_first() -> None:
    case = case_of("GRUD")
    case = masked(case, np.ones((*case.x.shape[:2], 2)))
    p = parameters_of(case)
    p |= {name: np.full_like(value, -9.0) for name, value in p.items() if "gamma" in name}  # relu shuts: gamma is 1
    values = tuple(p[q.name] for q in case.cell.graph.parameters)
    came = forward(replace(case, parameters=values), "reference")["y"]
    gru = cells.GRUResetBefore
    mine = {f"{k}_{g}": p[f"{k}_{g}"] for k in "WU" for g in "zrn"} | {f"b_{g}": p[f"b_{g}"] + p[f"V_{g}"].sum(1) for g in "zrn"}
    mine |= {"W_z": -mine["W_z"], "U_z": -mine["U_z"], "b_z": -mine["b_z"]}  # its z keeps, GRU-D's takes
    other = replace(case, cell=gru, sizes={"input": 2, "hidden": case.sizes["hidden"]}, x=case.x[..., :2], elapsed=None,
                    states=case.states[:1], parameters=tuple(mine[q.name] for q in gru.graph.parameters))  # fmt: skip
    np.testing.assert_allclose(came, forward(other, "reference")["y"], atol=1e-12)


def test_a_missing_value_may_be_nan_and_its_mean_is_the_users() -> None:
    torch.manual_seed(4)
    means = np.array([3.0, -2.0, 7.0])
    layer = Recurrent("GRUD", 6, 9).initialize(mean=lambda shape: means)
    assert "mean_l0" in dict(layer.named_buffers())
    x = torch.cat([torch.randn(8, 2, 3), (torch.rand(8, 2, 3) < 0.5).float()], -1)
    x[:4, :, 3] = 0.0  # the first feature is not seen before the fifth step
    x[..., :3][x[..., 3:] == 0] = torch.nan
    x.requires_grad_(True)
    trace = layer.trace(x)
    torch.testing.assert_close(trace["filled_l0"][:4, :, 0], torch.full((4, 2), 3.0))
    y, _ = layer(x)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_elapsed_time_adds_up_where_nothing_was_seen() -> None:
    layer = Recurrent("GRUD", 4, 5)
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    elapsed = torch.tensor([0.0, 0.5, 2.0, 0.25])
    delta = layer.trace(torch.cat([torch.randn(4, 2), mask], -1), elapsed=elapsed)["delta_l0"]
    torch.testing.assert_close(delta, torch.tensor([[0.0, 0.0], [0.5, 0.5], [2.5, 2.5], [2.75, 0.25]]))


def test_the_first_delta_is_the_papers_zero() -> None:
    """Whatever elapsed says of the first step, in each direction the one that it reads first."""
    layer = Recurrent("GRUD", 4, 5, bidirectional=True)
    x = torch.cat([torch.randn(6, 3, 2), torch.zeros(6, 3, 2)], -1)  # nothing seen
    for given in ({}, {"elapsed": torch.ones(6, 3)}):
        trace = layer.trace(x, lengths=torch.tensor([6, 4, 1]), **given)
        forward, reverse = trace["delta_l0"][..., 0], trace["delta_l0_reverse"][..., 0]
        assert torch.equal(forward[:, 0], torch.arange(6.0)) and torch.equal(forward[:4, 1], torch.arange(4.0))
        assert torch.equal(reverse[:, 0], torch.arange(6.0).flip(0)) and torch.equal(reverse[:4, 1], torch.arange(4.0).flip(0))
        assert forward[0, 2] == reverse[0, 2] == 0
    elapsed = torch.tensor([7.0, 0.5, 2.0, 1.0, 3.0, 0.25])
    trace = layer.trace(x, elapsed=elapsed[:, None].expand(6, 3))
    torch.testing.assert_close(trace["delta_l0"][:, 0, 0], torch.tensor([0, 0.5, 2.5, 3.5, 6.5, 6.75]))
    torch.testing.assert_close(trace["delta_l0_reverse"][:, 0, 0], torch.tensor([13.5, 6.5, 6.0, 4.0, 3.0, 0.0]))


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_the_first_step_of_a_chunk_is_not_the_first_of_its_sequence_and_that_after_a_reset_is(backend: str) -> None:
    torch.manual_seed(5)
    layer = Recurrent("GRUD", 4, 5, dtype=torch.float64, backend=backend)
    x = torch.cat([torch.randn(7, 2, 2), (torch.rand(7, 2, 2) < 0.4).float()], -1).double()
    elapsed = torch.rand(7, 2, dtype=torch.float64) + 0.5
    whole, last = layer(x, elapsed=elapsed)
    first, state = layer(x[:3], elapsed=elapsed[:3])
    second, state = layer(x[3:], state, elapsed=elapsed[3:])
    torch.testing.assert_close(torch.cat([first, second]), whole)
    assert state["t"].flatten().tolist() == [7, 7]
    for name in last:
        torch.testing.assert_close(state[name], last[name])
    afresh, _ = layer(x[3:], elapsed=elapsed[3:])
    assert not torch.allclose(afresh, second)  # the states begin anew, and no time went by before them
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3] = True
    torch.testing.assert_close(layer(x, elapsed=elapsed, reset=reset)[0], torch.cat([first, afresh]))
