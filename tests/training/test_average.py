"""The running average of weights: its rule, validation and keeping with it, the very bits after a break."""

from __future__ import annotations

import copy
from types import ModuleType

import pytest
import torch

from recell.errors import RecellError
from recell.training import Plan
from recell.training.average import Average
from recell.training.loop import checked_plan


def test_the_rule() -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    average, expected = Average(module, 0.9), {n: p.detach().clone() for n, p in module.named_parameters()}
    for step in range(1, 200):
        for parameter in module.parameters():
            parameter.data.normal_()
        average.update(step)
        decay = min(0.9, step / (step + 9))
        for name, parameter in module.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach()
    for name, tensor in average.tensors.items():
        torch.testing.assert_close(tensor, expected[name])


def test_inside_it_stands_and_outside_the_weights_are_again_their_own() -> None:
    module = torch.nn.Linear(3, 2)
    average = Average(module, 0.9)
    averaged = copy.deepcopy(module.state_dict())
    torch.nn.init.normal_(module.weight)
    own = copy.deepcopy(module.state_dict())
    with pytest.raises(KeyError), average.in_place():
        assert torch.equal(module.weight, averaged["weight"])
        raise KeyError
    assert torch.equal(module.weight, own["weight"])
    average.put()
    assert torch.equal(module.weight, averaged["weight"])


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_was_best_is_the_average_of_that_step(toy: ModuleType, tmp_path, on_disk) -> None:
    plan = Plan(steps=30, learning_rate=0.05, validate_every=5, checkpoint_every=7, average=0.8)
    learner, training, outcome = toy.train(tmp_path / "m" if on_disk else None, plan)
    training.load_best()
    learner.module.eval()
    with torch.no_grad():
        assert learner.validate()["loss"] == pytest.approx(outcome.best, rel=1e-6)


class Stop(Exception):
    """Breaks a training off as a kill does."""


@pytest.mark.parametrize("stop", [2, 13])
def test_broken_off_it_goes_on_bit_for_bit(toy: ModuleType, tmp_path, monkeypatch, stop) -> None:
    plan = Plan(steps=24, learning_rate=0.05, validate_every=5, checkpoint_every=6, average=0.9)
    _, whole, _ = toy.train(tmp_path / "whole", plan)
    real = toy.Toy.next_loss

    def next_loss(self):
        if self.position == stop:
            raise Stop
        return real(self)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(toy.Toy, "next_loss", next_loss)
        toy.train(tmp_path / "broken", plan)
    _, resumed, _ = toy.train(tmp_path / "broken", plan, seed=9)
    for one in (whole, resumed):
        one.load_best()
    for a, b in zip(whole._learner.module.parameters(), resumed._learner.module.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("decay", [1, -0.1, "much"])
def test_a_decay_that_cannot_be(decay) -> None:
    with pytest.raises(RecellError):
        checked_plan({"steps": 3, "average": decay})
