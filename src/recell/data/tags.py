"""Tags that mark spans in a sentence: BIO and BIOES, their check, their spans, and which tag may follow which.

``B-city I-city O`` marks one span of two words. In BIOES a span ends in E, and a span of one word is S (Ramshaw and Marcus
1995; Krishnan and Ganapathy 2005). Plain tags, such as parts of speech, mark no spans.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recell.errors import DataError, message

OUTSIDE = "O"
Span = tuple[int, int, str]  # first word, the word after the last, kind
_BEGINS, _INSIDE = "BS", "IE"


def is_formed(tag: str) -> bool:
    """Whether a tag is O, or a letter of BIOES, a dash and a kind."""
    return tag == OUTSIDE or (len(tag) > 2 and tag[0] in "BIES" and tag[1] == "-")


def kinds_in(tags: Iterable[str]) -> list[str]:
    """The kinds of span that tags of BIO or BIOES name, in alphabetical order.

    >>> kinds_in(["B-city", "O", "E-city", "S-day"])
    ['city', 'day']
    """
    return sorted({tag[2:] for tag in tags if tag != OUTSIDE})


def marks_spans(tags: Iterable[str]) -> bool:
    """Whether all tags are O or a letter of BIOES, a dash and a kind, with at least one of these."""
    found = set(tags) - {OUTSIDE}
    return bool(found) and all(map(is_formed, found))


def scheme_of(tags: Iterable[str]) -> str:
    """What scheme tags are of: "bio", "bioes" (an E- or S- is among them) or "plain".

    DataError where at least half of them mark spans and others do not (O aside), or where they are letters without a kind.

    >>> scheme_of(["O", "B-city"]), scheme_of(["O", "S-city"]), scheme_of(["NOUN", "O"])
    ('bio', 'bioes', 'plain')
    """
    found = set(tags) - {OUTSIDE}
    stray = sorted(tag for tag in found if not is_formed(tag))
    if found >= {"B", "I"} and all(len(tag) == 1 and tag in "BIESLU" for tag in found):
        raise DataError(message("tags of spans name a kind", came=", ".join(stray), write="B-term, or scheme='plain'"))
    if found and not stray:
        return "bioes" if any(tag[0] in "ES" for tag in found) else "bio"
    if 2 * len(stray) > len(found) and not any(tag[:2] in ("L-", "U-") and f"B{tag[1:]}" in found for tag in stray):
        return "plain"
    if not found:
        return "plain"
    is_bilou = all(tag[:2] in ("L-", "U-") for tag in stray)
    write = "E- for L- and S- for U-: BILOU is not read" if is_bilou else "BIO or BIOES throughout, or scheme='plain'"
    raise DataError(message("most tags mark spans, but some do not", came=", ".join(stray[:5]), write=write))


def broken(tags: Sequence[str], scheme: str = "bio") -> int | None:
    """The first place whose tag cannot follow the one before, or None: an I- after O, or after another kind; in "bioes" also
    what stands where a span has begun and not ended, and the place after the last if one has not ended there.

    >>> broken(["O", "I-city"]), broken(["B-city", "I-city", "O"])
    (1, None)
    """
    after_all = [OUTSIDE] if scheme == "bioes" else []
    for place, (before, tag) in enumerate(itertools.pairwise([OUTSIDE, *tags, *after_all])):
        if not _follows(before, tag, scheme):
            return place
    return None


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of BIO tags; an I- that continues nothing begins a span, as CoNLL's own script has it.

    >>> spans(["B-city", "I-city", "O", "B-day"])
    [(0, 2, 'city'), (3, 4, 'day')]
    """
    found: list[Span] = []
    start, kind = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        continues = kind and tag[0] == "I" and tag[2:] == kind
        if kind and not continues:
            found.append((start, place, kind))
            kind = ""
        if tag != OUTSIDE and not continues:
            start, kind = place, tag[2:]
    return found


def of_spans(marked: Iterable[Span], length: int) -> list[str]:
    """BIO tags of spans that do not overlap; DataError where they do or lie outside.

    >>> of_spans([(1, 3, "city")], 4)
    ['O', 'B-city', 'I-city', 'O']
    """
    tags = [OUTSIDE] * length
    for start, end, kind in marked:
        if not 0 <= start < end <= length or any(tag != OUTSIDE for tag in tags[start:end]):
            raise DataError(f"the span {start}:{end} ({kind}) overlaps another or lies outside of {length} words; mark each once")
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def to_bioes(tags: Sequence[str]) -> list[str]:
    """BIO tags as BIOES.

    >>> to_bioes(["B-city", "I-city", "O", "B-day"])
    ['B-city', 'E-city', 'O', 'S-day']
    """
    after = [*tags[1:], OUTSIDE]
    ends = {"B": "S", "I": "E"}
    return [
        ends[tag[0]] + tag[1:] if tag != OUTSIDE and following != f"I{tag[1:]}" else tag
        for tag, following in zip(tags, after, strict=True)
    ]  # fmt: skip


def to_bio(tags: Sequence[str]) -> list[str]:
    """BIOES tags as BIO."""
    begins = {"S": "B", "E": "I"}
    return [tag if tag == OUTSIDE else begins.get(tag[0], tag[0]) + tag[1:] for tag in tags]


def may_follow(tags: Sequence[str], scheme: str) -> NDArray[np.bool_]:
    """(tags + 2, tags + 2): whether the column's tag may follow the row's; the last two stand for the start and the end.

    `scheme` is "bio", "bioes" or "plain", where every tag may follow every one.
    """
    count = len(tags)
    allowed = np.ones((count + 2, count + 2), bool)
    allowed[:, count] = allowed[count + 1, :] = False  # nothing comes before the start or after the end
    if scheme != "plain":
        for row, before in enumerate([*tags, OUTSIDE]):
            for column, tag in enumerate([*tags, None, OUTSIDE]):
                if tag is not None:
                    allowed[row, column] = _follows(before, tag, scheme)
    allowed[count, count + 1] = False  # a sentence has a word
    return allowed


def _follows(before: str, tag: str, scheme: str) -> bool:
    is_open = before[0] in ("BI" if scheme == "bioes" else "BIES")
    if tag[0] in _INSIDE:
        return is_open and before[1:] == tag[1:]
    return not (scheme == "bioes" and is_open)  # a span of BIOES must be ended first
