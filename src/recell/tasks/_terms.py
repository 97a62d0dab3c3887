"""Terms out of the probabilities of tags, and the figures of those found beside those marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.key_terms import Document
from recell.data.tags import Span
from recell.tasks._scores import aligned, scores_of, scores_shown

Found = Sequence[Span]  # a text's terms, the surest first
AT = (5, 10)
Array = NDArray[np.float64]
_NEGLIGIBLE = 1e-3  # where all spans of a length are rarer than this, no longer ones are looked at


def likely(marginals: Array, steps: Array, tags: Sequence[str], threshold: float) -> list[tuple[Span, float]]:
    """Spans in words, and the probability that just there a term stands, from the surest on: each from `threshold` on that
    overlaps no surer one; its kind is the most probable there.

    marginals (T, tags), steps (T, tags, tags): a CRF's `chain`. That F1 is the highest where all of at least half that F1's
    probability are taken: Lipton, Elkan and Naryanaswamy 2014.
    """
    places = dict[tuple[int, int], dict[str, float]]()
    for kind in dict.fromkeys(tag[2:] for tag in tags if tag != "O"):
        for start, end, probability in _of_kind(marginals, steps, tags, kind):
            places.setdefault((start, end), {})[kind] = probability
    kept, free = list[tuple[Span, float]](), np.ones(len(marginals), bool)
    sure = {place: sum(by_kind.values()) for place, by_kind in places.items()}
    for start, end in sorted((place for place in sure if sure[place] >= threshold), key=lambda place: (-sure[place], place)):
        if free[start:end].all():
            free[start:end] = False
            by_kind = places[start, end]
            kept.append(((start, end, max(by_kind, key=lambda kind: by_kind[kind])), sure[start, end]))
    return kept


def _of_kind(marginals: Array, steps: Array, tags: Sequence[str], kind: str) -> Iterable[tuple[int, int, float]]:
    """Each span of a kind whose probability is not negligible."""
    number = {tag[0]: place for place, tag in enumerate(tags) if tag[2:] == kind or tag == "O"}
    before, goes_on = number["B"], marginals[:, number["B"]]  # the probability that a term from here on has not ended
    if "S" in number:
        yield from _spans(marginals[:, number["S"]], 1)
    for length in range(1, len(marginals) + 1):
        at = steps[length - 1 :, before]  # from the last word so far to the next
        more = at[:, number["I"]]
        yield from _spans(goes_on * at[:, number["E"]], length + 1) if "E" in number else _spans(goes_on * (1 - more), length)
        before, goes_on = number["I"], (goes_on * more)[:-1]
        if not len(goes_on) or goes_on.max() < _NEGLIGIBLE:
            return


def _spans(probabilities: Array, length: int) -> Iterable[tuple[int, int, float]]:
    for start in np.flatnonzero(probabilities >= _NEGLIGIBLE).tolist():
        yield start, start + length, float(probabilities[start])


def counts(documents: Sequence[Document], truth: Sequence[Set[Span]], found: Sequence[Found]) -> dict[str, Any]:
    """The sums over texts that `figures` are made of."""
    places = [{span[:2] for span in spans} for spans in truth]
    rows = list(zip(documents, truth, found, strict=True))
    best = {f"f1_at_{k}": sum(f1_at(k, *row) for row in rows) for k in AT}
    with_terms = sum(1 for _, there, came in rows if there or came)
    boundary = sizes(places, [{span[:2] for span in spans} for spans in found])
    return {"boundary": boundary, "typed": sizes(truth, [set(spans) for spans in found]), "texts": with_terms, **best}


def figures(counts: Mapping[str, Any]) -> dict[str, float]:
    """`precision`, `recall` and `boundary_f1` of places, `typed_f1` of places with kinds, both over all texts together;
    `f1_at_5` and `f1_at_10`, the means of `f1_at` over the texts in which a term is marked or found. Of nothing, F1 is 0."""
    precision, recall, boundary = scores_of(*counts["boundary"].tolist())
    best = {f"f1_at_{k}": counts[f"f1_at_{k}"] / max(counts["texts"], 1) for k in AT}
    typed = scores_of(*counts["typed"].tolist())[2]
    return {"boundary_f1": boundary, "precision": precision, "recall": recall, "typed_f1": typed, **best}


def scores(truth: Iterable[Set[Any]], found: Iterable[Set[Any]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of sets, counted over all of them together."""
    return scores_of(*sizes(truth, found).tolist())


def sizes(truth: Iterable[Set[Any]], found: Iterable[Set[Any]]) -> NDArray[np.int64]:
    """How many members of the sets are in both, were there, and came: (3,)."""
    rows = [(len(a & b), len(a), len(b)) for a, b in zip(truth, found, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 3).sum(0)


def f1_at(k: int, document: Document, truth: Iterable[Span], found: Iterable[Span]) -> float:
    """F1 of a text's k surest terms (all, where there are fewer), as distinct strings, against all distinct marked strings.

    Strings are compared in lower case, each run of white space one space; a string found twice has its best rank. (F1@k of
    key-phrase extraction, Meng et al. 2017; of the text's strings, so nothing is stemmed.)
    """
    surest = dict.fromkeys(_string(document, span) for span in found)
    return scores([{_string(document, span) for span in truth}], [set(list(surest)[:k])])[2]


def by_kind(truth: Sequence[Set[Span]], found: Sequence[Found]) -> Counter[tuple[str, str]]:
    """How many terms of each kind are in both, were there, and came: of two parts of some data, the sums are those of both."""
    sums = Counter[tuple[str, str]]()
    for there, came in zip(truth, map(set, found), strict=True):
        for name, spans in (("right", there & came), ("there", there), ("came", came)):
            sums.update((kind, name) for _, _, kind in spans)
    return sums


def table(sums: Mapping[tuple[str, str], int], kinds: Sequence[str]) -> str:
    """Precision, recall, F1 and number of the terms of each kind, first the `kinds`, then any others;
    dashes for a kind that is neither there nor found."""
    rows = [["", "precision", "recall", "F1", "terms"]]
    for kind in dict.fromkeys([*kinds, *sorted(kind for kind, _ in sums)]):
        right, there, came = (sums.get((kind, name), 0) for name in ("right", "there", "came"))
        rows.append([kind, *scores_shown(right, there, came), str(there)])
    return aligned(rows)


def _string(document: Document, span: Span) -> str:
    return " ".join(document.text[span[0] : span[1]].lower().split())
