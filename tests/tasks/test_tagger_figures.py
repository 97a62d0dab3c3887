"""Tagger's figures where some answers are wrong: those of seqeval, and those counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from recell.data.tags import to_bioes
from recell.tasks import Tagger, _sequence
from tests.tasks.test_tagger import SMALL, grammar

ROWS = (  # words, tags and intent that are right, those that are answered
    ("leave Rome today", "O B-from O", "leave", "O B-from O", "leave"),
    ("leave Kiel now", "O B-from O", "leave", "O B-to O", "leave"),  # a wrong kind
    ("from New York go", "O B-from I-from O", "leave", "O B-from O O", "leave"),  # a wrong end
    ("to San Jose", "O B-to I-to", "arrive", "O B-to I-to", "leave"),  # a wrong intent
    ("arrive Oslo Lima", "O B-to B-to", "arrive", "O B-to I-to", "arrive"),  # two spans as one
    ("hello there", "O O", "arrive", "O B-to", "arrive"),  # a span where none is
    ("good", "O", "leave", "O", "leave"),
    ("in Cairo", "O B-from", "leave", "O O", "leave"),  # a span not found
)
WORDS = [row[0].split() for row in ROWS]


def tags_of(column: int, scheme: str) -> list[list[str]]:
    rows = [row[column].split() for row in ROWS]
    return [to_bioes(row) for row in rows] if scheme == "bioes" else rows


def answering(scheme: str, *, intents: bool) -> tuple[Tagger, Any]:
    """A tagger whose network gives the answers of ROWS, and the labels."""
    tags = tags_of(1, scheme)
    labels: Any = list(zip(tags, (row[2] for row in ROWS), strict=True)) if intents else tags
    task = Tagger(**{**SMALL, "epochs": 1, "validation_fraction": 0}).fit(WORDS, labels, progress=False)
    codec = task.codec_
    said = {tuple(codec.table.encode(words).tolist()): (
                [codec.tags.index(tag) for tag in to_bioes(row[3].split())], codec.intents.index(row[4]) if intents else None)
            for words, row in zip(WORDS, ROWS, strict=True)}  # fmt: skip
    assert len(said) == len(ROWS)

    def answer(batch: dict[str, Tensor]) -> list[Any]:
        lengths = batch["lengths"].tolist()
        return [said[tuple(batch["words"][:length, n].tolist())] for n, length in enumerate(lengths)]

    task.network_.answer = answer  # type: ignore[method-assign]
    return task, labels


@pytest.mark.parametrize("window", [1024, 5])
@pytest.mark.parametrize(("scheme", "right_tags"), [("bio", 16), ("bioes", 14)])
def test_figures_of_some_wrong_answers(monkeypatch: pytest.MonkeyPatch, scheme: str, right_tags: int, window: int) -> None:
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2, IOBES

    monkeypatch.setattr(_sequence, "WINDOW", window)  # 5: two windows
    task, labels = answering(scheme, intents=True)
    figures = task.evaluate(WORDS, labels)
    kind = IOBES if scheme == "bioes" else IOB2
    assert figures["slot_f1"] == pytest.approx(f1_score(tags_of(1, scheme), tags_of(3, scheme), mode="strict", scheme=kind))
    assert figures["slot_f1"] == pytest.approx(4 / 13)  # 2 spans right of 7 that are there and 6 that are found
    assert figures["tag_accuracy"] == right_tags / 21 and figures["intent_accuracy"] == 7 / 8
    assert figures["sentence_accuracy"] == 2 / 8 and task.score(WORDS, labels) == figures["slot_f1"]
    assert task.predict(WORDS) == list(zip(tags_of(3, scheme), (row[4] for row in ROWS), strict=True))


def test_a_sentence_without_an_intent_is_right_by_its_tags() -> None:
    task, labels = answering("bio", intents=False)
    figures = task.evaluate(WORDS, labels)
    assert "intent_accuracy" not in figures and figures["sentence_accuracy"] == 3 / 8


def test_scikit_learn_searches_with_tags_and_intents() -> None:
    from sklearn.model_selection import GridSearchCV

    words, labels = grammar(80)
    options: dict[str, Any] = {**SMALL, "epochs": 20, "validation_fraction": 0}
    search = GridSearchCV(Tagger(**options), {"learning_rate": [1e-6, 0.03]}, cv=2, error_score="raise")
    search.fit(words, labels, progress=False)
    fresh = grammar(20, seed=1)
    assert search.best_params_ == {"learning_rate": 0.03} and search.best_score_ > 0.6 and search.score(*fresh) > 0.6
    tags, intent = search.predict(fresh[0])[0]
    assert len(tags) == len(fresh[0][0]) and intent in ("leave", "arrive")
