from __future__ import annotations

import pytest
import torch

from recell.tasks._pooling import POOLINGS, Pooling


@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize("directions", [1, 2])
def test_each_row_is_pooled_over_its_own_steps(kind: str, directions: int) -> None:
    torch.manual_seed(3)
    lengths, y = torch.tensor([5, 1, 3]), torch.randn(5, 3, 4) - 2  # all below 0: a maximum must not see padding
    pooling = Pooling(kind, 4, directions)
    pooled = pooling(y, lengths)
    for n, length in enumerate(lengths.tolist()):
        own = y[:length, n]
        torch.testing.assert_close(pooled[n], pooling(own[:, None], torch.tensor([length]))[0])
        expected = {"mean": own.mean(0), "max": own.amax(0)}
        last = torch.cat([own[-1, :2], own[0, 2:]]) if directions == 2 else own[-1]
        torch.testing.assert_close(pooled[n], {**expected, "last": last, "attention": pooled[n]}[kind])


def test_attention_is_a_weighted_mean() -> None:
    torch.manual_seed(4)
    lengths, y = torch.tensor([4, 2]), torch.randn(4, 2, 3)
    pooling = Pooling("attention", 3, 1)
    weights = pooling.weights(y, lengths)
    torch.testing.assert_close(weights.sum(0), torch.ones(2))
    assert (weights[2:, 1] == 0).all() and (weights[:2, 1] > 0).all()
    torch.testing.assert_close(pooling(y, lengths), torch.einsum("tn,tnh->nh", weights, y))


@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 2, 4]])
@pytest.mark.parametrize("made", ["distinct", "equal"])
def test_a_maximums_gradient_goes_to_the_first_of_its_places(lengths: list[int], made: str) -> None:
    torch.manual_seed(5)
    y = torch.randn(6, 3, 5, dtype=torch.float64)
    y = (y if made == "distinct" else (y - 0.7).relu()).requires_grad_()  # many steps at 0
    beyond = torch.arange(6)[:, None] >= torch.tensor(lengths)
    weights = torch.randn(3, 5, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((y.masked_fill(beyond[:, :, None], -torch.inf).max(0).values * weights).sum(), y)
    (found,) = torch.autograd.grad((Pooling("max", 5, 1)(y, torch.tensor(lengths)) * weights).sum(), y)
    assert torch.equal(found, wanted)
