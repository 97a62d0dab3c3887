"""Tags and their spans."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recell.data import tags
from recell.errors import DataError

KINDS = ("x", "y")


def sentences(length: int):
    choices = ["O", *[f"{letter}-{kind}" for letter in "BI" for kind in KINDS]]
    return (list(row) for row in itertools.product(choices, repeat=length))


def test_tags_and_spans_are_one() -> None:
    for row in sentences(4):
        if tags.broken(row) is None:
            assert tags.of_spans(tags.spans(row), 4) == row and tags.to_bio(tags.to_bioes(row)) == row


def test_what_is_broken_is_what_may_not_follow() -> None:
    names = sorted({tag for row in sentences(1) for tag in row})
    allowed = tags.may_follow(names, "bio")
    for row in sentences(3):
        path = [len(names), *(names.index(tag) for tag in row), len(names) + 1]
        assert all(allowed[a, b] for a, b in itertools.pairwise(path)) == (tags.broken(row) is None)


def test_bioes_allows_what_bio_becomes_and_nothing_else() -> None:
    names = ["O", *[f"{letter}-{kind}" for letter in "BIES" for kind in KINDS]]
    allowed = tags.may_follow(names, "bioes")
    made = {tuple(tags.to_bioes(row)) for row in sentences(3) if tags.broken(row) is None}
    for row in itertools.product(names, repeat=3):
        path = [len(names), *(names.index(tag) for tag in row), len(names) + 1]
        assert all(allowed[a, b] for a, b in itertools.pairwise(path)) == (row in made)


def test_plain_tags() -> None:
    allowed = tags.may_follow(["N", "V"], "plain")
    np.testing.assert_array_equal(allowed[:2, :2], True)
    np.testing.assert_array_equal(allowed, [[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])


SOME = [(["O"], False), (["B-x", "I-x", "O"], True), (["S-x"], True), (["N", "B-x"], False)]


@pytest.mark.parametrize(("found", "spans"), SOME)
def test_marks_spans(found, spans) -> None:
    assert tags.marks_spans(found) is spans


def test_an_inside_without_a_beginning_begins() -> None:
    assert tags.spans(["I-x", "I-y", "B-y", "I-y"]) == [(0, 1, "x"), (1, 2, "y"), (2, 4, "y")]


@pytest.mark.parametrize("marked", [[(0, 2, "x"), (1, 3, "y")], [(2, 4, "x")], [(1, 1, "x")]])
def test_spans_that_cannot_be(marked) -> None:
    with pytest.raises(DataError, match="mark each once"):
        tags.of_spans(marked, 3)
