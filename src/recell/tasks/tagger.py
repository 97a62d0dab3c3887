"""A tag for every word of a sentence, or every frame of a signal: slots, names, parts of speech; and the sentence's intent.

Features, a recurrent network in both directions, and a conditional random field or a softmax (Huang, Xu and Yu 2015; Lample et
al. 2016; with an intent beside the slots: Liu and Lane 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recell.data.sentences import Sentence, SentenceFile, sentences_of, unlabelled_of
from recell.data.tags import OUTSIDE, is_formed, kinds_in, scheme_of
from recell.errors import DataError, RecellError, message
from recell.language.cell import Cell
from recell.tasks import _scores
from recell.tasks._checks import check_choice
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._sequence import SequenceTask, Source
from recell.tasks._spans import check_measurable, kinds_table, span_kinds, span_report, spans_of, strict_spans
from recell.tasks._tags import Answer, Item, Spoken, TagCodec, TagNetwork
from recell.tasks._words import WordOptions


class Tagger(WordOptions, SequenceTask[Sentence, Item]):
    """Learns a tag for every word, and the intent of the sentence where the data names one.

    Data: a CoNLL file (columns: word ... tag), a folder of SNIPS's three files, JSON lines (``.jsonl``: `words` or `frames`,
    `tags`, `intent`), lists of words with lists of tags, or numeric frames (T, features) with a tag each. ``output`` "crf" or
    "softmax"; either way tags come out that obey the scheme of the data, BIO or BIOES; ``scheme`` "plain" says that tags mark no
    spans though they look so ("auto": seen from the tags).
    ``character_size`` 0 leaves out the character RNN; ``trigram_size`` above 0 adds letter trigrams, ``shape_size`` the
    word's shape (Xx, d.d); ``vectors`` names a text file of pretrained word vectors, whose length is ``word_size``: training
    words begin with theirs, and learn on; those of other words are not read, which stay unknown.
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
        """Precision, recall, F1 and number of the spans of each kind, and below, of spans with both ends right, how often each
        kind was taken for each; where tags mark no spans, both of each tag; the same of the intents, where they were learnt."""
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
            there, came = ([spans_of(row) for row in rows] for rows in (truth, found))
            said = [span_report(truth, found, codec.written), kinds_table(span_kinds(there, came), codec.kinds())]
        else:
            said = [_scores.by_name([*chain.from_iterable(truth)], [*chain.from_iterable(found)], codec.tags)]
        if codec.intents:
            said += [_scores.by_name(meant, chosen, codec.intents)]
        return "\n\n".join(filter(None, said))

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
            kinds = kinds_in(tags)
            names, scheme = [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BIES")], "bioes"
        if features and self.vectors is not None:
            raise RecellError(message("vectors are of words", came="frames to learn from", write="vectors=None"))
        table = None if features else self._word_table(Spoken(examples))
        return TagCodec(table, features, names, scheme, sorted(intents), written=written, whole=whole)

    def _codec_of(self, described: Mapping[str, Any]) -> TagCodec:
        return TagCodec.from_json(described)

    def _build(self, cell: Cell, codec: Any) -> TagNetwork:
        features = None if codec.table is None else self._word_features(cell, codec.table)
        return TagNetwork(cell, codec, features, Layers.of(self), crf=self.output == "crf")

    def _main_figure(self, codec: Any) -> str:
        return "slot_f1" if codec.scheme == "bioes" else "tag_accuracy"

    def _check_measurable(self, codec: Any) -> None:
        if codec.scheme == "bioes":
            check_measurable()

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
            figures["slot_f1"] = _scores.scores_of(*counts["spans"].tolist())[2]
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
