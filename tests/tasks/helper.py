"""What the tests of the language model share: a cell that no list knows, and weights compared bit by bit."""

from __future__ import annotations

import torch

from recell import cell, sigmoid, tanh
from recell.tasks import LanguageModel


@cell
def Leaky(p, x, h):
    g = sigmoid(p.W_g @ x + p.b_g)
    return g * h + (1 - g) * tanh(p.W @ x + p.U @ h + p.b)


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
