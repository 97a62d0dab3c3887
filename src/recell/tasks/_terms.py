"""Figures of extracted terms beside the marked ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from recell.data.key_terms import Document
from recell.data.tags import Span

Found = Sequence[Span]  # a text's terms, the surest first
AT = (5, 10)


def figures(documents: Sequence[Document], truth: Sequence[Set[Span]], found: Sequence[Found]) -> dict[str, float]:
    """`precision`, `recall` and `boundary_f1` of places, `typed_f1` of places with kinds, both over all texts together;
    `f1_at_5` and `f1_at_10`, the means over texts of `f1_at`."""
    places = [{span[:2] for span in spans} for spans in truth]
    precision, recall, boundary = scores(places, [{span[:2] for span in spans} for spans in found])
    typed = scores(truth, [set(spans) for spans in found])[2]
    rows = list(zip(documents, truth, found, strict=True))
    best = {f"f1_at_{k}": sum(f1_at(k, *row) for row in rows) / len(rows) for k in AT}
    return {"boundary_f1": boundary, "precision": precision, "recall": recall, "typed_f1": typed, **best}


def scores(truth: Iterable[Set[Any]], found: Iterable[Set[Any]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of sets, counted over all of them together; 1 where nothing was there and nothing found."""
    pairs = list(zip(truth, found, strict=True))
    right, there, came = (sum(counts) for counts in zip(*((len(a & b), len(a), len(b)) for a, b in pairs), strict=True))
    if not there and not came:
        return 1.0, 1.0, 1.0
    return right / max(came, 1), right / max(there, 1), 2 * right / (there + came)


def f1_at(k: int, document: Document, truth: Iterable[Span], found: Iterable[Span]) -> float:
    """F1 of a text's k surest terms (all, where there are fewer), as distinct strings, against all distinct marked strings.

    Strings are compared in lower case, each run of white space one space; a string found twice has its best rank. (F1@k of
    key-phrase extraction, Meng et al. 2017; of the text's strings, so nothing is stemmed.)
    """
    surest = dict.fromkeys(_string(document, span) for span in found)
    return scores([{_string(document, span) for span in truth}], [set(list(surest)[:k])])[2]


def table(truth: Sequence[Set[Span]], found: Sequence[Found], kinds: Sequence[str]) -> str:
    """Precision, recall, F1 and number of the terms of each kind."""
    rows = [f"{'':16}{'precision':>10}{'recall':>10}{'F1':>10}{'terms':>10}"]
    for kind in kinds:
        of_kind = [{span for span in spans if span[2] == kind} for spans in truth]
        cells = scores(of_kind, [{span for span in spans if span[2] == kind} for spans in found])
        rows.append(f"{kind:16}" + "".join(f"{cell:10.4f}" for cell in cells) + f"{sum(map(len, of_kind)):10}")
    return "\n".join(rows)


def _string(document: Document, span: Span) -> str:
    return " ".join(document.text[span[0] : span[1]].lower().split())
