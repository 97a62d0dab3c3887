from __future__ import annotations

from pathlib import Path

import pytest

from recell.tasks import LanguageModel

SENTENCE = "the cat sat on the mat, and the dog sat on the log. "


def train(**options: object) -> LanguageModel:
    settings = {"hidden_size": 11, "embedding_size": 6, "batch_size": 4, "window": 9, "steps": 6, "threads": 1}
    return LanguageModel(**{**settings, **options}).fit([SENTENCE * 20], progress=False)  # type: ignore[arg-type]


@pytest.fixture(scope="session", params=["LSTM", "GRU", "Jordan", "SCRN"])
def trained(request: pytest.FixtureRequest) -> LanguageModel:
    return train(cell=request.param, num_layers=1 if request.param == "Jordan" else 2)


@pytest.fixture
def folder(trained: LanguageModel, tmp_path: Path) -> Path:
    trained.save(tmp_path / "m")
    return tmp_path / "m"
