"""What a tagger learns with: words, tags and intents as numbers, and the network that scores every tag and intent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.ragged import side_by_side
from recell.data.sentences import Sentence, check_unbroken
from recell.data.tags import is_formed, kinds_in, may_follow, to_bio, to_bioes
from recell.errors import DataError, ModelError, message
from recell.language.cell import Cell
from recell.nn.crf import CRF, FORBIDDEN, viterbi
from recell.nn.dropout import Dropout
from recell.tasks._checks import unseen
from recell.tasks._layers import Layers
from recell.tasks._pooling import highest
from recell.tasks._sequence import Batch, SequenceNetwork
from recell.tasks._words import WIDTHS, WordFeatures, WordTable
from recell.training import Loss

IGNORED = -100
SCHEMES = ("bio", "bioes", "plain")
Answer = tuple[list[int], int | None]


@dataclass(frozen=True)
class Item:
    """A sentence as numbers; `words` is kept for its spelling."""

    words: tuple[str, ...]
    numbers: NDArray[np.int64] | NDArray[np.float32]
    tags: NDArray[np.int64]
    intent: int


class TagCodec:
    """Words, tags and intents as numbers. The network's tags are of `scheme`; examples write theirs in the scheme `written`,
    or as `whole` numbers."""

    unit = "words"

    def __init__(self, table: WordTable | None, features: int, tags: Sequence[str], scheme: str, intents: Sequence[str], *,
                 written: str = "bio", whole: bool = False) -> None:  # fmt: skip
        self.written, self.whole = written, whole
        self.table, self.features, self.tags, self.scheme, self.intents = table, features, tuple(tags), scheme, tuple(intents)
        self._tag_numbers = {tag: number for number, tag in enumerate(self.tags)}
        self._intent_numbers = {intent: number for number, intent in enumerate(self.intents)}

    def encode(self, example: Sentence, *, labelled: bool) -> Item:
        """The sentence as numbers; DataError for a tag or an intent that training never saw, or for other frames."""
        if isinstance(example.words, np.ndarray) != (self.table is None):
            reads, came = ("words", "frames") if self.table is not None else ("frames", "words")
            raise DataError(message(f"{example.where}: this tagger reads {reads}", came=came))
        tags = self._tags(example) if labelled else np.zeros(len(example), np.int64)
        intent = self._intent(example) if labelled and self.intents else 0
        if self.table is not None:
            assert isinstance(example.words, tuple)
            return Item(example.words, self.table.encode(example.words), tags, intent)
        frames = np.asarray(example.words, np.float32)
        if frames.shape[1] != self.features:
            said = f"{example.where} has {frames.shape[1]} features a frame"
            raise DataError(message(said, write=f"{self.features}, as in training"))
        return Item((), frames, tags, intent)

    def length(self, item: Item) -> int:
        return len(item.numbers)

    def batch(self, items: Sequence[Item]) -> Batch:
        if self.table is not None:
            made = self.table.batch([(item.words, item.numbers) for item in items])  # type: ignore[misc]
        else:
            made = {"lengths": torch.tensor([len(item.numbers) for item in items])}
            frames = np.zeros((int(made["lengths"].max()), len(items), self.features), np.float32)
            for n, item in enumerate(items):
                frames[: len(item.numbers), n] = item.numbers
            made["frames"] = torch.from_numpy(frames)
        tags = side_by_side([item.tags for item in items], IGNORED)
        return made | {"tags": torch.from_numpy(tags), "intents": torch.tensor([item.intent for item in items])}

    def names(self, numbers: Sequence[int]) -> list[str]:
        """Tags as the training examples write them; whole numbers are written out."""
        tags = [self.tags[number] for number in numbers]
        return to_bio(tags) if self._is_translated else tags

    def known(self) -> list[str]:
        """All tags, as the training examples write them."""
        return list(dict.fromkeys(to_bio(self.tags) if self._is_translated else self.tags))

    def kinds(self) -> list[str]:
        """The kinds of spans that were learnt."""
        return kinds_in(self.tags)

    def check(self, example: Sentence) -> tuple[str, ...]:
        """The example's tags; DataError where it has none, or they are not of the scheme, or an intent is wanting."""
        if example.tags is None:
            raise DataError(f"{example.where} has no tags; give one for each word")
        if self.intents and example.intent is None:
            offered = ", ".join(self.intents[:3])
            said = f"{example.where} has no intent, and this tagger has learnt intents"
            raise DataError(message(said, write=f"(tags, intent), such as {offered}, or SNIPS's three files"))
        if self.scheme != "plain":
            for place, tag in enumerate(example.tags):
                if not is_formed(tag) or (tag[0] in "ES" and self.written == "bio"):
                    raise unseen(example.at(place), "tag", tag, self.known())
            check_unbroken(example, self.written)
        return example.tags

    @property
    def _is_translated(self) -> bool:
        return self.scheme == "bioes" and self.written == "bio"

    def to_json(self) -> dict[str, Any]:
        table = None if self.table is None else self.table.to_json()
        return {"table": table, "features": self.features, "tags": list(self.tags), "scheme": self.scheme,
                "intents": list(self.intents), "written": self.written, "whole": self.whole}  # fmt: skip

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> TagCodec:
        """The codec out of its data; ModelError where the data is none."""
        tags, intents, table = described.get("tags"), described.get("intents"), described.get("table")
        schemes, whole = (described.get("scheme"), described.get("written")), described.get("whole")
        known = all(scheme in SCHEMES for scheme in schemes)
        if not known or not isinstance(whole, bool) or not isinstance(tags, list) or not isinstance(intents, list):
            raise ModelError("config.json is damaged: the codec has no tags; save the model again")
        return cls(WordTable.from_json(table) if isinstance(table, dict) else None, int(described.get("features") or 0),
                   tags, str(schemes[0]), intents, written=str(schemes[1]), whole=whole)  # fmt: skip

    def _tags(self, example: Sentence) -> NDArray[np.int64]:
        given = self.check(example)
        tags = to_bioes(given) if self._is_translated else list(given)
        for place, tag in enumerate(tags):
            if tag not in self._tag_numbers:
                raise unseen(example.at(place), "tag", given[place], self.known())
        return np.array([self._tag_numbers[tag] for tag in tags], np.int64)

    def _intent(self, example: Sentence) -> int:
        if example.intent not in self._intent_numbers:
            raise unseen(example.where, "intent", str(example.intent), self.intents)
        return self._intent_numbers[str(example.intent)]


class TagNetwork(SequenceNetwork):
    """Features -> Recurrent -> a score for each tag -> CRF or softmax; pooled over the words -> a score for each intent."""

    def __init__(self, cell: Cell, codec: TagCodec, features: WordFeatures | None, layers: Layers, *, crf: bool) -> None:
        super().__init__()
        self.features = features
        self.dropout = Dropout(0.0 if cell.brings_output else layers.dropout)  # of scores nothing drops
        width = codec.features if features is None else features.width
        self.recurrent = layers.make(cell, width, len(codec.tags), reads="features of a frame" if features is None else WIDTHS)
        read = self.recurrent.output_size
        self.output = None if cell.brings_output else nn.Linear(read, len(codec.tags))
        allowed = torch.from_numpy(may_follow(codec.tags, codec.scheme))
        self.crf = CRF(len(codec.tags), allowed) if crf else None
        self.register_buffer("moves", torch.where(allowed, 0.0, FORBIDDEN), persistent=False)
        self.intent = nn.Linear(read, len(codec.intents)) if codec.intents else None

    def scores(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """A score for each tag, (T, N, tags), and for each intent, (N, intents)."""
        x = batch["frames"] if self.features is None else self.features(batch)
        y, _ = self.recurrent(x, lengths=batch["lengths"])
        y = self.dropout(y)
        tags = y if self.output is None else self.output(y)
        return tags, None if self.intent is None else self.intent(highest(y, batch["lengths"]))

    def loss(self, batch: Batch) -> Loss:
        tags, intents = self.scores(batch)
        count = int(batch["lengths"].sum())
        if self.crf is not None:
            total = self.crf(tags, batch["tags"], batch["lengths"]).sum()
        else:
            total = functional.cross_entropy(tags.flatten(0, 1), batch["tags"].flatten(), ignore_index=IGNORED, reduction="sum")
        if intents is not None:
            total = total + functional.cross_entropy(intents, batch["intents"], reduction="sum")
        return Loss(total / count, count)

    def answer(self, batch: Batch) -> list[Answer]:
        tags, intents = self.scores(batch)
        moves: Tensor = self.moves  # type: ignore[assignment]
        paths = self.crf.decode(tags, batch["lengths"]) if self.crf else viterbi(tags.log_softmax(2), moves, batch["lengths"])
        chosen = [None] * len(paths) if intents is None else intents.argmax(1).tolist()
        return list(zip(paths, chosen, strict=True))


class Spoken:
    """The words of sentences, read anew each time."""

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        self._sentences = sentences

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (sentence.words for sentence in self._sentences if isinstance(sentence.words, tuple))
