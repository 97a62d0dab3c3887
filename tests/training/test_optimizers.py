from __future__ import annotations

import pytest
import torch

from recell.errors import RecellError
from recell.training import optimizers


def quadratic(parameters: list[torch.nn.Parameter], step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    return sum(((p - torch.randn(p.shape, generator=generator)) ** 2).sum() for p in parameters)  # type: ignore


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in ((3, 4), (5,), (2, 2))]


def run(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter], steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        quadratic(weights, step).backward()
        optimizers.set_learning_rate(optimizer, 0.1 / (step + 1))
        optimizer.step()


@pytest.mark.parametrize("name", optimizers.optimizer_names())
def test_state_put_back_goes_on_bit_for_bit(name: str) -> None:
    whole = parameters()
    run(optimizers.build(name, whole, 0.1, 0.01), whole, range(9))
    first = parameters()
    optimizer = optimizers.build(name, first, 0.1, 0.01)
    run(optimizer, first, range(4))
    tensors, numbers = optimizers.state_of(optimizer)
    kept = {key: value.clone() for key, value in tensors.items()}
    second = [torch.nn.Parameter(p.detach().clone()) for p in first]
    again = optimizers.build(name, second, 0.1, 0.01)
    optimizers.load_state(again, kept, numbers)
    run(again, second, range(4, 9))
    assert all(torch.equal(one, two) for one, two in zip(whole, second, strict=True))
    assert not torch.equal(whole[0], parameters()[0])


def test_matrices_decay_and_vectors_do_not() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    optimizer = optimizers.build("adamw", [matrix, vector], 0.1, 0.5)
    (matrix.sum() * 0 + vector.sum() * 0).backward()
    optimizer.step()
    assert torch.allclose(matrix, torch.full((2, 2), 0.95)) and torch.equal(vector, torch.ones(2))


def test_frozen_parameters_stay() -> None:
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = optimizers.build("sgd", [frozen, torch.nn.Parameter(torch.ones(1))], 0.1, 0.0)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RecellError, match="adamw"):
        optimizers.build("adam", parameters(), 0.1, 0.0)


@pytest.mark.parametrize(("most", "spoilt"), [(0.5, False), (100.0, False), (100.0, True)])
def test_gradients_are_clipped_as_torch_does(most: float, spoilt: bool) -> None:
    torch.manual_seed(0)
    mine, torchs = torch.nn.LSTM(3, 5), torch.nn.LSTM(3, 5)
    mine.bias_hh_l0.requires_grad_(False)
    for a, b in zip(mine.parameters(), torchs.parameters(), strict=True):
        a.grad = torch.randn_like(a) if a.requires_grad else None
        b.grad = None if a.grad is None else a.grad.clone()
    if spoilt:
        mine.weight_ih_l0.grad[0, 0] = torchs.weight_ih_l0.grad[0, 0] = torch.nan
    optimizers.clip(mine, most)
    torch.nn.utils.clip_grad_norm_(torchs.parameters(), most)
    for a, b in zip(mine.parameters(), torchs.parameters(), strict=True):
        assert a.grad is b.grad is None or torch.equal(a.grad.nan_to_num(7), b.grad.nan_to_num(7))
