"""Spans that tags mark, found beside those that are there, strictly: kind and both ends right, as seqeval counts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.tags import OUTSIDE
from recell.errors import needing


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


def check_measurable() -> None:
    """RecellError where spans cannot be measured, for seqeval is not installed."""
    _scheme("bio")


def _scheme(name: str) -> Any:
    with _needing_seqeval():
        from seqeval.scheme import IOB2, IOBES
    return IOBES if name == "bioes" else IOB2


def _needing_seqeval() -> AbstractContextManager[None]:
    return needing("the figure of spans", "seqeval", "sklearn", extra="tasks")
