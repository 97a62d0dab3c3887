"""A tag for every word of a sentence, or every frame of a signal: slots, names, parts of speech; and the sentence's intent.

Features, a recurrent network in both directions, and a conditional random field or a softmax (Huang, Xu and Yu 2015; Lample et
al. 2016; with an intent beside the slots: Liu and Lane 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.ragged import side_by_side
from recell.data.sentences import Sentence, SentenceFile, check_unbroken, sentences_of, unlabelled_of
from recell.data.tags import OUTSIDE, is_formed, may_follow, scheme_of, to_bio, to_bioes
from recell.errors import DataError, ModelError, message, unknown
from recell.language.cell import Cell
from recell.nn.crf import CRF, FORBIDDEN, viterbi
from recell.nn.dropout import Dropout
from recell.tasks import _scores
from recell.tasks._checks import check_choice
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._pooling import highest
from recell.tasks._sequence import Batch, SequenceNetwork, SequenceTask, Source
from recell.tasks._words import WIDTHS, WordFeatures, WordOptions, WordTable
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
                    raise DataError(f"{example.at(place)}: " + unknown("tag that training saw", tag, self.known()))
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
        if not isinstance(tags, list) or not isinstance(intents, list) or described.get("scheme") not in SCHEMES or (
                described.get("written", "bio") not in SCHEMES):  # fmt: skip
            raise ModelError("config.json is damaged: the codec has no tags; save the model again")
        return cls(WordTable.from_json(table) if isinstance(table, dict) else None, int(described.get("features") or 0),
                   tags, str(described["scheme"]), intents, written=str(described.get("written", "bio")),
                   whole=bool(described.get("whole")))  # fmt: skip

    def _tags(self, example: Sentence) -> NDArray[np.int64]:
        given = self.check(example)
        tags = to_bioes(given) if self._is_translated else list(given)
        for place, tag in enumerate(tags):
            if tag not in self._tag_numbers:
                raise DataError(f"{example.at(place)}: " + unknown("tag that training saw", given[place], self.known()))
        return np.array([self._tag_numbers[tag] for tag in tags], np.int64)

    def _intent(self, example: Sentence) -> int:
        if example.intent not in self._intent_numbers:
            raise DataError(f"{example.where}: " + unknown("intent that training saw", str(example.intent), self.intents))
        return self._intent_numbers[str(example.intent)]


class TagNetwork(SequenceNetwork):
    """Features -> Recurrent -> a score for each tag -> CRF or softmax; pooled over the words -> a score for each intent."""

    def __init__(self, cell: Cell, codec: TagCodec, features: WordFeatures | None, layers: Layers, *, crf: bool) -> None:
        super().__init__()
        self.features, self.dropout = features, Dropout(layers.dropout)
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


class Tagger(WordOptions, SequenceTask[Sentence, Item]):
    """Learns a tag for every word, and the intent of the sentence where the data names one.

    Data: a CoNLL file (columns: word ... tag), a folder of SNIPS's three files, lists of words with lists of tags, or numeric
    frames (T, features) with a tag each. ``output`` "crf" or "softmax"; either way tags come out that obey the scheme of the
    data, BIO or BIOES; ``scheme`` "plain" says that tags mark no spans though they look so ("auto": seen from the tags).
    ``character_size`` 0 leaves out the character RNN; ``trigram_size`` above 0 adds letter trigrams, ``shape_size`` the
    word's shape (Xx, d.d); ``vectors`` names a text file of pretrained word vectors, whose length is ``word_size``.
    ``unknown_rate`` of the words are made unknown in training.
    ``stream=True`` reads a file anew each epoch in place of keeping it. Frames are used as they come: scale them first.

    ``hidden_size`` may be a list, a size for each layer. Between layers: ``residual`` or ``highway``, ``dropout``; before the
    first ``input_dropout`` (None: as ``dropout``); ``variational`` drops the same units at all steps (`recell.nn.Recurrent`).
    """

    def __init__(self, *, cell: Cell | str = "LSTM", hidden_size: HiddenSize = 128, num_layers: int = 1,
                 bidirectional: bool = True, sizes: Mapping[str, int] | None = None, modifiers: Sequence[str] = (),
                 dropout: float = 0.5, input_dropout: float | None = None, variational: bool = False, residual: bool = False,
                 highway: bool = False, output: str = "crf", scheme: str = "auto", word_size: int = 100, character_size: int = 25,
                 trigram_size: int = 0, shape_size: int = 0, vectors: str | None = None, lowercase: bool = True,
                 minimum_count: int = 1, unknown_rate: float = 0.02, batch_size: int = 16, steps: int | None = None,
                 epochs: int | None = None, optimizer: str = "adamw", learning_rate: float = 3e-3,
                 validation_fraction: float = 0.1, patience: int | None = None, plan: Mapping[str, Any] | None = None,
                 seed: int = 0, threads: int | None = None, device: str = "cpu", backend: str = "auto",
                 stream: bool = False) -> None:  # fmt: skip
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.sizes = sizes
        self.modifiers = modifiers
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.variational = variational
        self.residual = residual
        self.highway = highway
        self.output = output
        self.scheme = scheme
        self.word_size = word_size
        self.character_size = character_size
        self.trigram_size = trigram_size
        self.shape_size = shape_size
        self.vectors = vectors
        self.lowercase = lowercase
        self.minimum_count = minimum_count
        self.unknown_rate = unknown_rate
        self.batch_size = batch_size
        self.steps = steps
        self.epochs = epochs
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.plan = plan
        self.seed = seed
        self.threads = threads
        self.device = device
        self.backend = backend
        self.stream = stream

    def score(self, data: Any, labels: Any = None) -> float:
        """The main figure, slot F1 or the tags' accuracy. A tag or intent that training never saw counts as missed, for
        scikit-learn's folds may hold one; `evaluate` refuses it, for it has no loss."""
        network, codec = self._fitted()
        with self._thread_count():
            figures = self._measure(network, codec, self._checked(data, labels), labelled=False)
        return figures[self._main_figure(codec)]

    def report(self, data: Any, labels: Any = None) -> str:
        """Precision, recall, F1 and number of the spans of each kind, or of each tag with the table of confusions where tags
        mark no spans; the same of the intents, where they were learnt."""
        network, codec = self._fitted()
        assert isinstance(codec, TagCodec)
        truth, found, meant, chosen = list[tuple[str, ...]](), list[list[str]](), list[str](), list[str]()
        with self._thread_count():
            for part, answers, *_ in self._answered(network, codec, self._checked(data, labels), labelled=False):
                truth += [example.tags or () for example in part]
                found += [codec.names(path) for path, _ in answers]
                if codec.intents:
                    meant += [str(example.intent) for example in part]
                    chosen += [codec.intents[number or 0] for _, number in answers]
        if not truth:
            raise DataError("there is nothing to measure; came no example")
        if codec.scheme == "bioes":
            said = [span_report(truth, found, codec.written)]
        else:
            said = [_scores.by_name([*chain.from_iterable(truth)], [*chain.from_iterable(found)], codec.tags)]
        if codec.intents:
            said += [_scores.by_name(meant, chosen, codec.intents)]
        return "\n\n".join(said)

    def _checked(self, data: Any, labels: Any) -> Iterator[Sentence]:
        """Labelled examples whose tags are of the scheme, seen in training or not."""
        codec = self._fitted()[1]
        assert isinstance(codec, TagCodec)
        for example in self._labelled(data, labels):
            codec.check(example)
            yield example

    def _labels_in(self, example: Sentence) -> Iterable[Any]:
        """Tags (of spans: their kinds) and the intent."""
        kinds = (example.tags or ()) if self.scheme == "plain" else (t[2:] if is_formed(t) else t for t in example.tags or ())
        return [*(("tag", kind) for kind in kinds), ("intent", example.intent)]

    def _check(self) -> Cell:
        cell = self._check_sequence(("word_size", "minimum_count"))
        check_choice("output", self.output, ("crf", "softmax"))
        check_choice("scheme", self.scheme, ("auto", "plain"))
        self._check_words()
        return cell

    def _labelled(self, data: Any, labels: Any) -> Source[Sentence]:
        if isinstance(data, (str, Path)):
            return SentenceFile(data, plain=self._is_plain())
        return sentences_of(data, labels, plain=self._is_plain())

    def _is_plain(self) -> bool:
        """Whether tags mark no spans, as far as is known."""
        codec = getattr(self, "codec_", None)
        return self.scheme == "plain" or (isinstance(codec, TagCodec) and codec.scheme == "plain")

    def _unlabelled(self, data: Any) -> Iterable[Sentence]:
        return SentenceFile(data, labelled=False) if isinstance(data, (str, Path)) else unlabelled_of(data)

    def _learn_codec(self, examples: Source[Sentence]) -> TagCodec:
        tags, intents, features, wholes = dict[str, None](), dict[str, None](), 0, set[bool]()
        for example in examples:
            tags |= dict.fromkeys(example.tags or ())
            wholes.add(example.whole)
            intents |= dict.fromkeys([example.intent] if example.intent is not None else [])
            features = features or (example.words.shape[1] if isinstance(example.words, np.ndarray) else 0)
        if len(wholes) > 1:
            raise DataError("tags are texts in some sentences and whole numbers in others; write all of them as texts")
        whole, scheme = wholes == {True}, "plain"
        written = "plain" if self.scheme == "plain" else scheme_of(tags)
        if written == "plain":
            names = sorted(tags, key=int) if whole else sorted(tags)
        else:
            kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
            names, scheme = [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BIES")], "bioes"
        table = None if features else self._word_table(Spoken(examples))
        return TagCodec(table, features, names, scheme, sorted(intents), written=written, whole=whole)

    def _codec_of(self, described: Mapping[str, Any]) -> TagCodec:
        return TagCodec.from_json(described)

    def _build(self, cell: Cell, codec: Any) -> TagNetwork:
        features = None if codec.table is None else self._word_features(cell, codec.table)
        return TagNetwork(cell, codec, features, Layers.of(self), crf=self.output == "crf")

    def _main_figure(self, codec: Any) -> str:
        return "slot_f1" if codec.scheme == "bioes" else "tag_accuracy"

    def _counts(self, codec: Any, examples: Sequence[Sentence], answers: Sequence[Answer]) -> dict[str, Any]:
        """Words, tags, sentences and intents that are right, and spans by seqeval's rule."""
        truth = [list(example.tags or ()) for example in examples]
        found = [codec.names(path) for path, _ in answers]
        right = [a == b for a, b in zip(truth, found, strict=True)]
        same = sum(a == b for row, other in zip(truth, found, strict=True) for a, b in zip(row, other, strict=True))
        counts: dict[str, Any] = {"tags": same, "words": sum(map(len, truth)), "sentences": len(truth)}
        if codec.scheme == "bioes":
            counts["spans"] = strict_spans(truth, found, codec.written)
        if codec.intents:
            intents = [e.intent == codec.intents[answer[1] or 0] for e, answer in zip(examples, answers, strict=True)]
            counts["intents"] = sum(intents)
            right = [a and b for a, b in zip(right, intents, strict=True)]
        return counts | {"right": sum(right)}

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """Strict entity F1 (seqeval), whole sentences (tags, and the intent where there is one), tags, intents."""
        figures = {"tag_accuracy": counts["tags"] / counts["words"]}
        if codec.scheme == "bioes":
            figures["slot_f1"] = f1_of(*counts["spans"].tolist())
        if codec.intents:
            figures["intent_accuracy"] = counts["intents"] / counts["sentences"]
        return figures | {"sentence_accuracy": counts["right"] / counts["sentences"]}

    def _readable(self, codec: Any, example: Sentence, answer: Answer) -> Any:
        """The tags, or (tags, intent) where intents were learnt: the form in which labels are given."""
        path, intent = answer
        tags: list[Any] = codec.names(path)
        tags = [int(tag) for tag in tags] if codec.whole else tags
        return tags if intent is None else (tags, codec.intents[intent])

    def _shown(self, example: Sentence) -> str:
        return " ".join(example.words) if isinstance(example.words, tuple) else example.where


class Spoken:
    """The words of sentences, read anew each time."""

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        self._sentences = sentences

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (sentence.words for sentence in self._sentences if isinstance(sentence.words, tuple))


def strict_spans(truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: str = "bio") -> NDArray[np.int64]:
    """How many spans were found with their kinds and both ends right, were there, and were found: (3,), by seqeval's strict mode
    on BIO (IOB2) or BIOES (IOBES) tags."""
    from seqeval.scheme import Entities

    kind = _scheme(scheme)
    there, came = ({span for row in Entities(list(map(list, rows)), kind).entities for span in row} for rows in (truth, found))
    return np.array([len(there & came), len(there), len(came)])


def span_report(truth: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: str) -> str:
    """Precision, recall, F1 and number of the spans of each kind, strictly."""
    from seqeval.metrics import classification_report

    if not any(tag != OUTSIDE for row in (*truth, *found) for tag in row):
        return "no span is there, and none was found"
    rows: Any = list(map(list, truth)), list(map(list, found))
    never: Any = 0
    return str(classification_report(*rows, mode="strict", scheme=_scheme(scheme), digits=4, zero_division=never)).rstrip()  # pyright: ignore[reportArgumentType]


def _scheme(name: str) -> Any:
    from seqeval.scheme import IOB2, IOBES

    return IOBES if name == "bioes" else IOB2


def f1_of(right: int, there: int, came: int) -> float:
    """F1 of such counts; 1 where nothing was there and nothing found."""
    return 2 * right / (there + came) if there or came else 1.0
