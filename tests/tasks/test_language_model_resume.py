"""What was broken off is resumed and ends with the very same weights; what was another training is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import recell
from recell.errors import ModelError
from recell.modifiers import recurrent_dropout, zoneout
from recell.tasks import LanguageModel
from recell.training import optimizers
from tests.tasks.helper import Leaky, same, weights


@pytest.mark.parametrize("name", ["LSTM", "GRU with coins"])
def test_broken_off_and_resumed_it_ends_with_the_very_same_weights(
    name: str, corpus: Path, small: dict[str, Any], tmp_path: Path, monkeypatch
) -> None:
    """Dropout, coins, carried state, two layers, a change of epoch: stopped where no checkpoint stands."""
    chosen = name if name == "LSTM" else recell.cells.get("GRU").with_(zoneout(h=0.2), recurrent_dropout(0.3))
    options = {**small, "cell": chosen, "steps": 60, "num_layers": 2, "dropout": 0.3, "plan": {"checkpoint_every": 7}}
    whole = LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "whole")
    real = optimizers.clip
    calls = []

    def broken(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 45:
            raise RuntimeError("the power is gone")
        return real(*arguments, **named)

    monkeypatch.setattr(optimizers, "clip", broken)
    with pytest.raises(RuntimeError, match="power"):
        LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "broken")
    resumed = LanguageModel(**options).fit(corpus, progress=False, out=tmp_path / "broken", resume=True)
    assert len(calls) == 45 + 60 - 42
    assert same(weights(whole), weights(resumed))
    dropped = [{k: v for k, v in record.items() if k != "seconds"} for record in resumed.history_]
    assert dropped == [{k: v for k, v in record.items() if k != "seconds"} for record in whole.history_]


@pytest.mark.slow
def test_killed_at_random_moments_the_command_ends_with_the_very_same_weights(corpus: Path, tmp_path: Path) -> None:
    """The whole program under SIGKILL, resumed each time, against one that was never killed."""
    options = ["--hidden-size", "16", "--batch-size", "4", "--window", "10", "--steps", "150", "--dropout", "0.2",
               "--seed", "5", "--threads", "1", "--quiet"]  # fmt: skip

    def command(folder: str, *more: str) -> list[str]:
        program = [sys.executable, "-m", "recell.cli", "train", "language-model", str(corpus)]
        return [*program, "--out", str(tmp_path / folder), *options, *more]

    whole = subprocess.Popen(command("whole"))
    generator, killed = random.Random(os.getpid()), 0
    for _ in range(4):
        process = subprocess.Popen(command("killed", "--resume"), stderr=subprocess.PIPE)
        time.sleep(generator.uniform(0.5, 6.0))
        process.kill()
        _, errors = process.communicate()
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert killed
    assert whole.wait() == 0
    subprocess.run(command("killed", "--resume"), check=True)
    names = ("model.safetensors", "vocabulary.json")
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "killed" / n).read_bytes() for n in names)


def test_a_training_goes_on_longer(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    LanguageModel(**small).fit(corpus, progress=False, out=tmp_path)
    more = LanguageModel(**{**small, "steps": 20}).fit(corpus, progress=False, out=tmp_path, resume=True)
    assert more.steps_ == 20
    assert [record["step"] for record in more.history_ if "loss" in record] == sorted(
        {record["step"] for record in more.history_ if "loss" in record}
    )


def test_what_was_another_training_is_not_resumed(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "m"
    LanguageModel(**small).fit(corpus, progress=False, out=out)
    with pytest.raises(ModelError, match="already holds a training's checkpoints.*or delete"):
        LanguageModel(**small).fit(corpus, out=out)
    with pytest.raises(ModelError, match="hidden_size=12; came 13"):
        LanguageModel(**{**small, "hidden_size": 13}).fit(corpus, out=out, resume=True)
    with pytest.raises(ModelError, match="cell='LSTM'; came"):
        LanguageModel(**small, cell=Leaky).fit(corpus, out=out, resume=True)
    with pytest.raises(ModelError, match="other data"):
        LanguageModel(**small).fit([corpus.read_text() + "more and more" * 9], out=out, resume=True)


def test_other_held_out_text_is_not_resumed(corpus: Path, small: dict[str, Any], tmp_path: Path) -> None:
    text = corpus.read_text()
    LanguageModel(**small).fit([text], validation=[text[:200]], progress=False, out=tmp_path / "m")
    with pytest.raises(ModelError, match="held out other data"):
        LanguageModel(**small).fit([text], validation=[text[:199]], out=tmp_path / "m", resume=True)
    LanguageModel(**small).fit([text], validation=[text[:200]], progress=False, out=tmp_path / "m", resume=True)


def test_ctrl_c_saves_and_says_where(corpus: Path, small: dict[str, Any], tmp_path: Path, monkeypatch) -> None:
    real = optimizers.clip

    def interrupt(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **named)

    monkeypatch.setattr(optimizers, "clip", interrupt)
    with pytest.raises(KeyboardInterrupt, match="after 1 steps; the checkpoint is in"):
        LanguageModel(**small).fit(corpus, progress=False, out=tmp_path / "m")
    with pytest.raises(KeyboardInterrupt, match="nothing was saved"):
        LanguageModel(**small).fit(corpus, progress=False)


def test_another_thread_count_is_said_when_resumed(corpus: Path, small: dict[str, Any], tmp_path: Path, capsys) -> None:
    out = tmp_path / "m"
    LanguageModel(**small).fit(corpus, progress=False, out=out)
    for steps, threads, said in ((14, 1, False), (16, 2, True), (18, 2, False)):
        LanguageModel(**{**small, "steps": steps, "threads": threads}).fit(corpus, out=out, resume=True)
        lines = [line for line in capsys.readouterr().err.splitlines() if "thread" in line]
        assert len(lines) == said
        assert not said or "ran with 1 thread(s) and goes on with 2" in lines[0] and "--threads 1" in lines[0]
