"""The key terms of a text: where they stand, of what kind they are, and how sure the network is.

Extraction as tagging: words, a recurrent network in both directions, a conditional random field over BIO or BIOES tags
(Augenstein et al. 2017, SemEval-2017 task 10; the network: Lample et al. 2016), and a score for each term that is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recell.data.key_terms import Document, DocumentFile, counted, cut, documents_of, marked, unmarked_of
from recell.errors import DataError, ModelError, RecellError, message
from recell.language.cell import Cell
from recell.tasks._checks import check_choice
from recell.tasks._documents import ANY, Answer, Item, KeyTermCodec, KeyTermNetwork, Paragraphs, Term
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._sequence import SequenceTask, Source
from recell.tasks._spans import Kinds, kinds_table, span_kinds
from recell.tasks._tags import Spoken, TagCodec, TagNetwork
from recell.tasks._terms import by_kind, counts, figures, table
from recell.tasks._words import WordOptions
from recell.training.loop import check_number

LEVELS = ("paragraphs", "sentences")
SCHEMES = ("bio", "bioes")


class KeyTerms(WordOptions, SequenceTask[Document, Item]):
    """Learns to mark the key terms of texts; `predict` gives each text's terms (start, end, kind, score), the surest first.

    Data: a file of JSON lines with `text` and `spans` [start, end, kind] in characters; or texts with such lists as labels.
    Terms are made to fit words and one another as `recell.data.key_terms` says: edges move outward, of overlapping terms the
    longest is learnt. What is measured are all marked terms, so that those which tags cannot hold count as missed.

    ``level``: the network reads "sentences" one by one, or whole "paragraphs". ``scheme`` "bio" or "bioes". ``kinds=False``
    learns where terms are and not of what kind: every term found or marked is then a "term", and `typed_f1` says the same as
    `boundary_f1`. ``members`` networks learn side by side and vote. The score of a term is the probability, by the field's
    marginals, that a term stands just there; those of at least ``threshold`` come out, and none that overlaps a surer one.
    Words are features as in `Tagger`. ``boundary_f1``: both ends right; ``f1_at_5``, ``f1_at_10``: of the surest 5 and 10
    distinct strings of a text, the mean over the texts in which a term is marked or found.

    ``hidden_size`` may be a list, a size for each layer. Between layers: ``residual`` or ``highway``, ``dropout``; before the
    first ``input_dropout`` (None: as ``dropout``); ``variational`` drops the same units at all steps (`recell.nn.Recurrent`).
    """

    _start = 1.0  # in cross-validation within SemEval-2017's training part better than START (docs/tasks.md)

    def __init__(self, *, cell: Cell | str = "LSTM", hidden_size: HiddenSize = 128, num_layers: int = 1,
                 bidirectional: bool = True, sizes: Mapping[str, int] | None = None, modifiers: Sequence[str] = (),
                 dropout: float = 0.5, input_dropout: float | None = None, variational: bool = False, residual: bool = False,
                 highway: bool = False, level: str = "sentences", scheme: str = "bioes", kinds: bool = True,
                 members: int = 1, threshold: float = 0.2, word_size: int = 50, character_size: int = 25,
                 trigram_size: int = 0, shape_size: int = 10, vectors: str | None = None, lowercase: bool = True,
                 minimum_count: int = 1, unknown_rate: float = 0.2, batch_size: int = 4, steps: int | None = None,
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
        self.level = level
        self.scheme = scheme
        self.kinds = kinds
        self.members = members
        self.threshold = threshold
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
        """Boundary F1. A kind that training never saw counts by its places: scikit-learn's folds may hold one."""
        network, codec = self._fitted()
        with self._thread_count():
            figures = self._measure(network, codec, self._labelled(data, labels), labelled=False)
        return figures[self._main_figure(codec)]

    def report(self, data: Any, labels: Any = None) -> str:
        """Precision, recall and F1 of every kind, those that training never saw last; of terms with both ends right, how often
        each kind was taken for each; and how many marks were moved to words' edges or cannot be held by tags."""
        network, codec = self._fitted()
        assert isinstance(codec, KeyTermCodec)
        sums, marks, pairs = Counter[tuple[str, str]](), Counter[str](), Kinds()
        with self._thread_count():
            for part, answers, *_ in self._answered(network, codec, self._labelled(data, labels), labelled=False):
                truth, found = self._beside(codec, part, answers)
                sums.update(by_kind(truth, found))
                pairs.update(span_kinds(truth, found))
                marks.update(asdict(counted(part)))
        if not marks:
            raise DataError("there is nothing to measure; came no example")
        said = f"{marks['spans']} marks, {marks['moved']} moved to words' edges, {marks['lost']} overlap others: no tags for them"
        return "\n\n".join(filter(None, [table(sums, codec.known()), kinds_table(pairs, codec.known()), said]))

    def _check(self) -> Cell:
        cell = self._check_sequence(("word_size", "minimum_count", "members"))
        self._check_words()
        for name, choices in (("level", LEVELS), ("scheme", SCHEMES)):
            check_choice(name, getattr(self, name), choices)
        if not 0 < check_number("threshold", self.threshold) < 1:
            said = "threshold is a probability above 0 and below 1"
            raise RecellError(message(said, came=self.threshold, write="threshold=0.2"))
        return cell

    def _labelled(self, data: Any, labels: Any) -> Source[Document]:
        if isinstance(data, (str, Path)):
            return DocumentFile(data)
        return documents_of(data, labels)

    def _labels_in(self, example: Document) -> Iterable[Any]:
        return {kind for _, _, kind in example.spans or ()} if self.kinds else ()

    def _unlabelled(self, data: Any) -> Iterable[Document]:
        return DocumentFile(data, labelled=False) if isinstance(data, (str, Path)) else unmarked_of(data)

    def _learn_codec(self, examples: Source[Document]) -> KeyTermCodec:
        kinds = sorted({kind for example in examples for _, _, kind in example.spans or ()} if self.kinds else {ANY})
        if not kinds:
            raise DataError(f"no term is marked in {len(examples)} text(s); mark some to learn from")
        tags = ["O", *(f"{letter}-{kind}" for kind in kinds for letter in self.scheme.upper() if letter != "O")]
        tagging = TagCodec(self._word_table(Spoken(Paragraphs(examples))), 0, tags, self.scheme, [])
        return KeyTermCodec(tagging, kinds=self.kinds, level=self.level)

    def _codec_of(self, described: Mapping[str, Any]) -> KeyTermCodec:
        tagging = TagCodec.from_json(described)
        if tagging.table is None or described.get("level") not in LEVELS or not isinstance(described.get("kinds"), bool):
            raise ModelError("config.json is damaged: the codec has no words, level or kinds; save the model again")
        return KeyTermCodec(tagging, kinds=bool(described["kinds"]), level=str(described["level"]))

    def _build(self, cell: Cell, codec: Any) -> KeyTermNetwork:
        members = (self._member(cell, codec.tagging) for _ in range(self.members))
        return KeyTermNetwork(members, codec.tagging.tags, self.threshold)

    def _member(self, cell: Cell, tagging: TagCodec) -> TagNetwork:
        assert tagging.table is not None
        return TagNetwork(cell, tagging, self._word_features(cell, tagging.table), Layers.of(self), crf=True)

    def _main_figure(self, codec: Any) -> str:
        return "boundary_f1"

    def _counts(self, codec: Any, examples: Sequence[Document], answers: Sequence[Answer]) -> dict[str, Any]:
        """Of places, of places with kinds, and of the surest strings (`_terms.counts`)."""
        truth, found = self._beside(codec, examples, answers)
        return counts(examples, truth, found)

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """Precision, recall and F1 (`_terms.figures`)."""
        return figures(counts)

    def _beside(self, codec: Any, examples: Sequence[Document], answers: Sequence[Answer]) -> Any:
        """The marked terms and the found ones of each text; where kinds were not learnt, all are of the one kind."""
        found = [[term[:3] for term in codec.terms(example, answer)] for example, answer in zip(examples, answers, strict=True)]
        truth = [marked(example, cut(example.text)) for example in examples]
        if not codec.kinds:
            truth = [{(start, end, ANY) for start, end, _ in spans} for spans in truth]
        return truth, found

    def _readable(self, codec: Any, example: Document, answer: Answer) -> list[Term]:
        """The text's terms, the surest first."""
        return codec.terms(example, answer)

    def _shown(self, example: Document) -> str:
        return example.text.strip()
