"""Spans that tags mark, found beside those that are there, strictly: kind and both ends right, as seqeval counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.tags import OUTSIDE, Span, spans, to_bio
from recell.errors import needing
from recell.tasks._scores import confusions_table

Kinds = Counter[tuple[str | None, str | None]]  # the true kind and the one found


def strict_spans(truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: str = "bio") -> NDArray[np.int64]:
    """How many spans were found with their kinds and both ends right, were there, and were found: (3,), by seqeval's strict mode
    on BIO (IOB2) or BIOES (IOBES) tags."""
    with _needing_seqeval():
        from seqeval.scheme import Entities
    kind = _scheme(scheme)
    there, came = ({span for row in Entities(list(map(list, rows)), kind).entities for span in row} for rows in (truth, found))
    return np.array([len(there & came), len(there), len(came)])


def span_report(truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: str) -> str:
    """Precision, recall, F1 and number of the spans of each kind, strictly."""
    with _needing_seqeval():
        from seqeval.metrics import classification_report
    if not any(tag != OUTSIDE for row in (*truth, *found) for tag in row):
        return "no span is there, and none was found"
    rows: Any = list(map(list, truth)), list(map(list, found))
    never: Any = 0
    return str(classification_report(*rows, mode="strict", scheme=_scheme(scheme), digits=4, zero_division=never)).rstrip()  # pyright: ignore[reportArgumentType]


def span_kinds(truth: Iterable[Iterable[Span]], found: Iterable[Iterable[Span]]) -> Kinds:
    """How often a span of each true kind was found, with both ends right, as each kind; None where it was missed, or where
    there is none. Of a place marked with several kinds the one that was found counts, or else the first; the rest are missed."""
    pairs: Kinds = Counter()
    for there, came in zip(truth, found, strict=True):
        left = {(start, end): kind for start, end, kind in came}
        for start, end, kind in sorted(there, key=lambda span: (left.get(span[:2]) != span[2], span)):
            pairs[kind, left.pop((start, end), None)] += 1
        pairs.update((None, kind) for kind in left.values())
    return pairs


def kinds_table(pairs: Kinds, kinds: Iterable[str]) -> str:
    """The table of `span_kinds`, first the `kinds` that are there or were found, then any others; empty where no span is."""
    met = {kind for pair in pairs for kind in pair if kind is not None}
    names = [*dict.fromkeys([*(kind for kind in kinds if kind in met), *sorted(met)])]
    if not names:
        return ""
    rows = [[str(pairs[true, said]) for said in (*names, None)] for true in (*names, None)]
    rows[-1][-1] = "-"
    return confusions_table(rows, [*names, "(spurious)"], [*names, "(missed)"])


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans of BIO or BIOES tags."""
    return spans(to_bio(tags))


def check_measurable() -> None:
    """RecellError where spans cannot be measured, for seqeval is not installed."""
    _scheme("bio")


def _scheme(name: str) -> Any:
    with _needing_seqeval():
        from seqeval.scheme import IOB2, IOBES
    return IOBES if name == "bioes" else IOB2


def _needing_seqeval() -> AbstractContextManager[None]:
    return needing("the figure of spans", "seqeval", "sklearn", extra="tasks")
