from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from recell.errors import DataError, ModelError, RecellError
from recell.training import Checkpoints, Loss, Plan
from recell.training.checkpoint import BEST


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    mine, other = one.state_dict(), two.state_dict()
    return all(torch.equal(mine[name], other[name]) for name in mine)


def figures(folder: Path) -> list[dict]:
    """The lines of metrics.jsonl without the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_it_learns_and_reports(toy: ModuleType, tmp_path) -> None:
    _, _, outcome = toy.train(tmp_path, replace(toy.PLAN, steps=200))
    reports = [line for line in figures(tmp_path) if "loss" in line]
    assert [line["step"] for line in reports] == list(range(4, 201, 4))
    assert reports[-1]["loss"] < 0.5 * reports[0]["loss"]
    assert reports[-1]["root"] == reports[-1]["loss"] ** 0.5
    assert outcome.step == 200 and not outcome.interrupted and not outcome.stopped_early
    assert [line["step"] for line in figures(tmp_path) if "validation" in line] == [*range(7, 200, 7), 200]


def test_a_report_is_the_mean_over_what_was_counted(toy: ModuleType, tmp_path) -> None:
    learner, _, _ = toy.train(tmp_path)
    first = next(line for line in figures(tmp_path) if "loss" in line)
    assert first["loss"] == pytest.approx(sum(learner.losses[:4]) / 4)


class Stop(Exception):
    """Breaks a training off as a kill does: nothing is saved on the way out."""


@pytest.mark.parametrize("stop", [1, 3, 7, 8, 20, 39])
def test_a_training_broken_off_goes_on_bit_for_bit(toy: ModuleType, tmp_path, monkeypatch, stop: int) -> None:
    whole, _, _ = toy.train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        real = toy.Toy.next_loss

        def next_loss(self) -> Loss:
            if self.position == stop:
                raise Stop
            return real(self)

        patch.setattr(toy.Toy, "next_loss", next_loss)
        with pytest.raises(Stop):
            toy.train(tmp_path / "broken")
    torch.manual_seed(12345)
    resumed, _, outcome = toy.train(tmp_path / "broken", seed=99)
    assert same_weights(whole.module, resumed.module)
    assert figures(tmp_path / "whole") == figures(tmp_path / "broken")
    assert len(outcome.history) == len(figures(tmp_path / "whole"))
    best = [Checkpoints(tmp_path / name / "checkpoint").load(BEST) for name in ("whole", "broken")]
    assert best[0].step == best[1].step
    assert all(torch.equal(best[0].tensors[name], best[1].tensors[name]) for name in best[0].tensors)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_very_same_weights(toy: ModuleType, tmp_path) -> None:
    """SIGKILL, again and again, at moments nobody chose; then one run to the end."""
    generator = random.Random(os.getpid())
    steps, killed = 300, 0
    plan = replace(toy.PLAN, steps=steps)
    for _ in range(5):
        process = start(toy, tmp_path / "killed", steps)
        time.sleep(generator.uniform(0.0, 0.35))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole, _, _ = toy.train(tmp_path / "whole", plan)
        resumed, _, _ = toy.train(tmp_path / "killed", plan)
    finally:
        torch.set_num_threads(threads)
    assert same_weights(whole.module, resumed.module)
    assert figures(tmp_path / "whole") == figures(tmp_path / "killed")


def start(toy: ModuleType, folder: Path, steps: int) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, toy.__file__, folder, str(steps)], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"begins\n"
    process.stdout.close()
    return process


def test_ctrl_c_saves_the_step_it_was_in(toy: ModuleType, tmp_path, monkeypatch) -> None:
    whole, _, _ = toy.train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        real = toy.Toy.next_loss

        def next_loss(self) -> Loss:
            if self.position == 10:
                os.kill(os.getpid(), signal.SIGINT)
            return real(self)

        patch.setattr(toy.Toy, "next_loss", next_loss)
        _, _, outcome = toy.train(tmp_path / "broken")
    assert outcome.interrupted and outcome.step == 11
    assert Checkpoints(tmp_path / "broken" / "checkpoint").load().step == 11
    resumed, _, _ = toy.train(tmp_path / "broken")
    assert same_weights(whole.module, resumed.module)


def test_a_finished_training_resumed_does_nothing(toy: ModuleType, tmp_path) -> None:
    whole, _, _ = toy.train(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoint").rglob("*")}
    again, _, outcome = toy.train(tmp_path, seed=5)
    assert same_weights(whole.module, again.module) and outcome.step == toy.PLAN.steps
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoint").rglob("*")}


@pytest.mark.parametrize("on_disk", [True, False])
def test_patience_ends_it_and_the_best_weights_come_back(toy: ModuleType, tmp_path, monkeypatch, on_disk) -> None:
    losses = iter([5.0, 3.0, 4.0, 4.0, 1.0])
    monkeypatch.setattr(toy.Toy, "validate", lambda self: {"loss": next(losses)})
    kept = []
    real = toy.Toy.next_loss
    monkeypatch.setattr(
        toy.Toy,
        "next_loss",
        lambda self: (kept.append(self.module[0].weight.detach().clone()), real(self))[1],
    )
    plan = Plan(steps=100, validate_every=3, patience=2)
    learner, training, outcome = toy.train(tmp_path if on_disk else None, plan)
    assert outcome.stopped_early and outcome.step == 12 and outcome.best == 3.0 and outcome.best_step == 6
    training.load_best()
    assert torch.equal(learner.module[0].weight, kept[6])
    if on_disk:
        assert toy.train(tmp_path, plan)[2].step == 12


def test_of_two_steps_with_the_same_figure_the_lower_loss_is_kept(toy: ModuleType, monkeypatch) -> None:
    figures = iter([(0.5, 9.0), (0.75, 2.0), (0.75, 3.0), (0.75, 1.0), (0.5, 0.5)])
    monkeypatch.setattr(toy.Toy, "validate", lambda self: dict(zip(("accuracy", "loss"), next(figures), strict=True)))
    _, _, outcome = toy.train(None, Plan(steps=10, validate_every=2, best_by="accuracy"))
    assert (outcome.best, outcome.best_step) == (0.75, 8)
    assert [record["best"] for record in outcome.history if "validation" in record] == [True, True, False, True, False]


def test_gradients_are_clipped_by_their_common_norm(toy: ModuleType) -> None:
    plan = Plan(steps=1, optimizer="sgd", learning_rate=1.0, weight_decay=0.0, clip=1e-3)
    before = toy.Toy()
    after, _, _ = toy.train(None, plan)
    moved = [a - b for a, b in zip(after.module.parameters(), before.module.parameters(), strict=True)]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_that_is_no_number_ends_it_and_the_last_checkpoint_stands(toy: ModuleType, tmp_path, monkeypatch) -> None:
    real = toy.Toy.next_loss

    def next_loss(self) -> Loss:
        loss = real(self)
        return Loss(loss.mean * float("nan"), 5) if self.position > 10 else loss

    monkeypatch.setattr(toy.Toy, "next_loss", next_loss)
    with pytest.raises(RecellError, match="after 10 steps"):
        toy.train(tmp_path)
    assert Checkpoints(tmp_path / "checkpoint").load().step == 9


def test_a_disk_that_fills_up_ends_it_and_the_last_checkpoint_stands(toy: ModuleType, tmp_path, monkeypatch) -> None:
    real, calls = os.rename, []

    def rename(*arguments) -> None:
        calls.append(arguments)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(DataError, match="No space left on device"):
        toy.train(tmp_path)
    assert Checkpoints(tmp_path / "checkpoint").load().step == 6


def test_a_checkpoint_of_another_model_is_refused_in_one_line(toy: ModuleType, tmp_path) -> None:
    toy.train(tmp_path)
    learner = toy.Toy()
    learner.module = torch.nn.Linear(2, 2)
    training = toy.Training(learner, toy.PLAN, folder=tmp_path)
    with pytest.raises(ModelError, match="does not fit") as caught:
        training.resume(Checkpoints(tmp_path / "checkpoint").load())
    assert "\n" not in str(caught.value)
