"""Learning live: a small torch network, Adam, a few hundred steps on the whole of a handful of sentences."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def seeded(seed: int) -> Generator[None, None, None]:
    """Draws follow `seed` inside; the user's own random state is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def learn(network: nn.Module, loss: Callable[[], Tensor], *, steps: int, learning_rate: float) -> float:
    """Steps of Adam (Kingma & Ba 2015) against the gradient of `loss`; the loss afterwards."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return float(loss().detach())


def parameter_count(network: nn.Module) -> int:
    """How many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def numbered(sentences: Sequence[Sequence[str]], known: Sequence[str]) -> Tensor:
    """The place of each word in `known`: (T, N) for N sentences of T words each."""
    return torch.tensor([[known.index(word) for word in sentence] for sentence in sentences]).T
