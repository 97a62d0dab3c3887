"""Spans found beside those that are there: which kind was taken for which."""

from __future__ import annotations

import numpy as np
import pytest

from recell.data.tags import of_spans, to_bioes
from recell.tasks._spans import kinds_table, span_kinds, spans_of, strict_spans

KINDS = ("city", "day", "hour")


def some_spans(rng: np.random.Generator, words: int = 9) -> list[tuple[int, int, str]]:
    ends = np.sort(rng.choice(words + 1, 2 * int(rng.integers(0, 4)), replace=False)).tolist()
    return [(start, end, KINDS[rng.integers(3)]) for start, end in zip(ends[::2], ends[1::2], strict=True)]


def test_rows_are_what_is_there_columns_what_was_found_the_diagonal_what_is_right() -> None:
    rng = np.random.default_rng(0)
    truth, found = ([some_spans(rng) for _ in range(60)] for _ in range(2))
    found = [came if rng.random() < 0.5 else there for there, came in zip(truth, found, strict=True)]
    pairs = span_kinds(truth, found)
    for kind in KINDS:
        assert sum(pairs[kind, said] for said in (*KINDS, None)) == sum(span[2] == kind for row in truth for span in row)
        assert sum(pairs[true, kind] for true in (*KINDS, None)) == sum(span[2] == kind for row in found for span in row)
    tags = [[of_spans(row, 9) for row in rows] for rows in (truth, found)]
    assert sum(pairs[kind, kind] for kind in KINDS) == strict_spans(*tags)[0] > 30
    assert pairs[None, None] == 0 and sum(pairs[a, b] for a in KINDS for b in KINDS if a != b) > 0


def test_of_a_place_with_several_kinds_the_one_that_was_found_counts() -> None:
    marked = {(0, 2, "a"), (0, 2, "b"), (4, 5, "b")}
    assert span_kinds([marked], [[(0, 2, "b"), (4, 6, "b")]]) == {("b", "b"): 1, ("a", None): 1, ("b", None): 1, (None, "b"): 1}
    assert span_kinds([marked], [[(0, 2, "c")]]) == {("a", "c"): 1, ("b", None): 2}


def test_the_table_has_a_column_for_missed_spans_and_a_row_for_spurious_ones() -> None:
    truth, found = [[(0, 1, "day"), (2, 4, "city"), (5, 6, "city")]], [[(0, 1, "city"), (2, 4, "city"), (7, 8, "hour")]]
    rows = [line.split() for line in kinds_table(span_kinds(truth, found), ["city", "day", "year"]).splitlines()]
    assert rows == [["true", "\\", "said", "city", "day", "hour", "(missed)"], ["city", "1", "0", "0", "1"],
                    ["day", "1", "0", "0", "0"], ["hour", "0", "0", "0", "0"], ["(spurious)", "0", "0", "1", "-"]]  # fmt: skip
    assert kinds_table(span_kinds([[]], [[]]), ["city"]) == ""


def test_a_table_with_many_kinds_names_its_columns_by_number() -> None:
    kinds = [f"a_rather_long_kind_{n}" for n in range(9)]
    spans = [[(n, n + 1, kind) for n, kind in enumerate(kinds)]]
    first, second, *_, last = [line.split() for line in kinds_table(span_kinds(spans, spans), kinds).splitlines()]
    assert first[3:] == [*map(str, range(1, 10)), "(missed)"] and second[:3] == ["a_rather_long_kind_0", "1", "1"]
    assert last[0] == "(spurious)" and last[-1] == "-" and len(last) == 11


@pytest.mark.parametrize("form", [list, to_bioes])
def test_spans_of_tags_of_either_scheme(form) -> None:
    marked = [(0, 2, "city"), (2, 3, "city"), (5, 6, "day")]
    assert spans_of(form(of_spans(marked, 7))) == marked
