"""What KeyTerms learns with: texts and their terms as a tagger's sentences, and the taggers' networks that vote on terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from recell.data.key_terms import Document, cut, on_words, outermost, sentences_in
from recell.data.sentences import Sentence
from recell.data.tags import Span, of_spans
from recell.nn.crf import combined
from recell.tasks import _tags
from recell.tasks._checks import unseen
from recell.tasks._sequence import Batch, SequenceNetwork
from recell.tasks._tags import TagCodec, TagNetwork
from recell.tasks._terms import likely
from recell.training import Loss

ANY = "term"  # the kind of every term where kinds are not learnt
Answer = list[list[tuple[Span, float]]]  # of each part: terms in words, and how probable each is


class Term(NamedTuple):
    """A term that was found: first character, the character after the last, kind, the probability that one stands just there."""

    start: int
    end: int
    kind: str
    score: float


@dataclass(frozen=True)
class Item:
    """A document as numbers: one part where paragraphs are read whole, else one for each sentence."""

    parts: tuple[_tags.Item, ...]


class KeyTermCodec:
    """Texts and their terms as numbers, by the tagger's codec; terms that it cannot hold are left out of what is learnt."""

    unit = "words"

    def __init__(self, tagging: TagCodec, *, kinds: bool, level: str) -> None:
        self.tagging, self.kinds, self.level = tagging, kinds, level

    def encode(self, example: Document, *, labelled: bool) -> Item:
        """The document as numbers; DataError for a kind that training never saw."""
        parts = parted(example, self.level, kinds=self.kinds, labelled=labelled)
        for tag in {tag for part in parts for tag in part.tags or ()}.difference(self.tagging.known()):
            raise unseen(example.where, "kind", tag[2:], self.known())
        return Item(tuple(self.tagging.encode(part, labelled=labelled) for part in parts))

    def length(self, item: Item) -> int:
        return max(self.tagging.length(part) for part in item.parts)

    def batch(self, items: Sequence[Item]) -> Batch:
        """The tagger's batch of all parts, and `parts` (N,): how many belong to each document."""
        made = self.tagging.batch([part for item in items for part in item.parts])
        return made | {"parts": torch.tensor([len(item.parts) for item in items])}

    def terms(self, example: Document, answer: Answer) -> list[Term]:
        """The terms of an answer, the surest first."""
        words = cut(example.text)
        found = list[Term]()
        for (first, _), part in zip(self._cuts(example, words), answer, strict=True):
            for (start, end, kind), score in part:
                found.append(Term(words[first + start][0], words[first + end - 1][1], kind, score))
        return sorted(found, key=lambda term: (-term.score, term.start))

    def known(self) -> list[str]:
        """The kinds that were learnt."""
        return self.tagging.kinds()

    def to_json(self) -> dict[str, Any]:
        return {**self.tagging.to_json(), "kinds": self.kinds, "level": self.level}

    def _cuts(self, example: Document, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return sentences_in(example.text, words) if self.level == "sentences" else [(0, len(words))]


def parted(document: Document, level: str, *, kinds: bool, labelled: bool) -> list[Sentence]:
    """The document's words, and its outermost terms as BIO tags, whole or by sentences; a term that a cut parts is left out."""
    words = cut(document.text)
    cuts = sentences_in(document.text, words) if level == "sentences" else [(0, len(words))]
    terms = outermost(on_words(document.spans or (), words)) if labelled else []
    made = list[Sentence]()
    for first, last in cuts:
        inside = [(a - first, b - first, kind if kinds else ANY) for a, b, kind in terms if first <= a and b <= last]
        tags = tuple(of_spans(inside, last - first)) if labelled else None
        made.append(Sentence(tuple(document.text[a:b] for a, b in words[first:last]), tags, None, document.where))
    return made


class KeyTermNetwork(SequenceNetwork):
    """One tagger's network, or several that learn side by side and vote: their scores and transitions are averaged.

    `answer` gives the terms of at least the probability `threshold`.
    """

    def __init__(self, members: Iterable[TagNetwork], tags: Sequence[str], threshold: float) -> None:
        super().__init__()
        self.members, self.tags, self.threshold = nn.ModuleList(members), tags, threshold

    def loss(self, batch: Batch) -> Loss:
        losses = [member.loss(batch) for member in self._networks()]  # each learns by itself
        return Loss(torch.stack([loss.mean for loss in losses]).mean(), losses[0].count)

    def answer(self, batch: Batch) -> list[Answer]:
        networks, lengths = self._networks(), batch["lengths"]
        scores = torch.stack([network.scores(batch)[0] for network in networks]).mean(0)
        crf = combined([network.crf for network in networks if network.crf is not None])
        marginals, steps = (tensor.cpu().numpy() for tensor in crf.chain(scores, lengths))
        rows = enumerate(lengths.tolist())
        found = [likely(marginals[:length, n], steps[:length, n], self.tags, self.threshold) for n, length in rows]
        ends = np.cumsum([0, *batch["parts"].tolist()])
        return [found[first:last] for first, last in zip(ends[:-1], ends[1:], strict=True)]

    def _networks(self) -> list[TagNetwork]:
        return [member for member in self.members if isinstance(member, TagNetwork)]


class Paragraphs:
    """The sentences of documents, read anew each time."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[Sentence]:
        for document in self._documents:
            yield from parted(document, "paragraphs", kinds=True, labelled=False)
