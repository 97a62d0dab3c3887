from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from recell.tasks import LanguageModel

SENTENCE = "the cat sat on the mat, and the dog sat on the log. "
SMALL = {"hidden_size": 12, "embedding_size": 7, "batch_size": 5, "window": 11, "steps": 12, "threads": 1}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(SENTENCE * 40, encoding="utf-8")
    return path


@pytest.fixture
def small() -> dict[str, Any]:
    """Options of a model that trains in a moment."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def trained() -> LanguageModel:
    return LanguageModel(**SMALL).fit([SENTENCE * 40], progress=False)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def fitted(trained: LanguageModel) -> LanguageModel:
    """A trained model of the test's own: what a test changes does not reach the others."""
    return copy.deepcopy(trained)
