from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from recell.cli.run import run
from recell.tasks import LanguageModel

SENTENCE = "the cat sat on the mat, and the dog sat on the log. "


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def recell(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line and gives its exit code and output."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(SENTENCE * 40, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "model"
    task = LanguageModel(hidden_size=12, batch_size=4, window=10, steps=5, threads=1)
    task.fit([SENTENCE * 40], progress=False).save(folder)
    return folder


SMALL = ("--hidden-size", 8, "--batch-size", 4, "--window", 10, "--steps", 6, "--threads", 1, "--quiet")


@pytest.fixture
def small() -> tuple[object, ...]:
    """Options that train in a moment."""
    return SMALL
