from __future__ import annotations

from pathlib import Path

import pytest

from recell.tasks import LanguageModel

SENTENCE = "the cat sat on the mat, and the dog sat on the log. "


def train(**options: object) -> LanguageModel:
    settings = {"hidden_size": 11, "embedding_size": 6, "batch_size": 4, "window": 9, "steps": 6, "threads": 1}
    return LanguageModel(**{**settings, **options}).fit([SENTENCE * 20], progress=False)  # type: ignore[arg-type]


MODELS: dict[str, dict[str, object]] = {
    "LSTM": {"cell": "LSTM", "num_layers": 2},
    "GRU": {"cell": "GRU", "hidden_size": [7, 5, 9]},
    "Jordan": {"cell": "Jordan"},
    "SCRN": {"cell": "SCRN", "num_layers": 2, "residual": True, "dropout": 0.2},
    "a highway": {"cell": "LSTM", "num_layers": 3, "highway": True, "input_dropout": 0.1, "variational": True},
}


@pytest.fixture(scope="session", params=MODELS)
def trained(request: pytest.FixtureRequest) -> LanguageModel:
    return train(**MODELS[request.param])


@pytest.fixture
def folder(trained: LanguageModel, tmp_path: Path) -> Path:
    trained.save(tmp_path / "m")
    return tmp_path / "m"
