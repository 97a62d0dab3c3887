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


def with_gradients(dtype: torch.dtype, seed: int) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    made = [torch.nn.Parameter(p.detach().to(dtype)) for p in parameters()]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, 0.5, 100.0])
def test_a_step_of_adamw_in_the_kernel_is_torchs(dtype: torch.dtype, clip: float | None) -> None:
    own, torchs = with_gradients(dtype, 2), with_gradients(dtype, 2)
    first, second = (optimizers.build("adamw", weights, 0.1, 0.3) for weights in (own, torchs))
    for step in range(6):
        for parameter, fresh in zip([*own, *torchs], with_gradients(dtype, step) + with_gradients(dtype, step), strict=True):
            parameter.grad = fresh.grad  # clipping in place changed torch's
        if step == 3:
            own[1].grad = torchs[1].grad = None  # not every tensor moves at every step
        optimizers.step(first, clip)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(torchs, clip)
        second.step()
    for a, b in zip(own, torchs, strict=True):
        torch.testing.assert_close(a.detach(), b.detach())
        for name in ("step", "exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(first.state[a][name], second.state[b][name])


def test_a_state_goes_on_between_the_kernel_and_torch() -> None:
    results = []
    for turns in ("kkkk", "kktt", "ttkk"):
        weights = with_gradients(torch.float64, 3)
        optimizer = optimizers.build("adamw", weights, 0.1, 0.3)
        for turn in turns:
            if turn == "k":
                optimizers.step(optimizer, None)
            else:
                optimizer.step()
        results.append([p.detach() for p in weights])
    for found in results[1:]:
        torch.testing.assert_close(found, results[0])


@pytest.mark.parametrize("what", ["transposed", "bfloat16", "several dtypes"])
def test_what_the_kernel_cannot_read_torch_moves(what: str) -> None:
    first = torch.nn.Parameter(torch.randn(4, 3).t() if what == "transposed" else torch.randn(3, 4))
    second = torch.nn.Parameter(torch.randn(2, 2, dtype=torch.float64 if what == "several dtypes" else torch.float32))
    if what == "bfloat16":
        first = torch.nn.Parameter(first.detach().bfloat16())
    weights = [first, second]
    for parameter in weights:
        parameter.grad = torch.ones_like(parameter)
    before = [p.detach().clone() for p in weights]
    optimizer = optimizers.build("adamw", weights, 0.1, 0.0)
    assert isinstance(optimizer, optimizers.AdamW) and optimizer.moved() is None
    optimizers.step(optimizer, 1.0)
    for parameter, earlier in zip(weights, before, strict=True):
        torch.testing.assert_close(parameter.detach(), earlier - 0.1, rtol=0.02, atol=1e-5)


def test_a_graph_that_needs_the_weights_before_is_refused() -> None:
    weight = torch.nn.Parameter(torch.randn(3))
    loss = (weight**2).sum()
    weight.grad = torch.ones(3)
    optimizers.step(optimizers.build("adamw", [weight], 0.1, 0.0), None)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
