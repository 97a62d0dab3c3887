from __future__ import annotations

import torch
from torch import nn

from recell.worked.learning import learn, numbered, parameter_count, seeded


def test_the_users_random_state_stays() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(5):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(5):
        assert torch.equal(torch.rand(2), inside)


def test_learning_ends_near_the_least_squares() -> None:
    with seeded(0):
        x, network = torch.randn(20, 3), nn.Linear(3, 1)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3
    assert learn(network, lambda: ((network(x) - y) ** 2).mean(), steps=400, learning_rate=0.05) < 1e-4
    assert parameter_count(network) == 4


def test_words_become_their_places() -> None:
    assert numbered([["b", "a"], ["c", "c"]], ("a", "b", "c")).tolist() == [[1, 2], [0, 2]]
