"""A class for a whole text or series, or several: sentiment, intents, speakers, movements, images read row by row.

Tokens or numbers, a recurrent network, one vector of all its steps, a score for each class. Sentences: Zhou et al. 2016;
images row by row: Le et al. 2015; attention over steps: Bahdanau et al. 2015, Yang et al. 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recell.data.labelled import Label, Labelled, LabelledFile, Labels, labelled_of, unlabelled_of
from recell.data.text import EncodingErrors
from recell.data.vocabulary import tokenize
from recell.errors import DataError, ModelError, RecellError, is_whole, message, unknown
from recell.language.cell import Cell
from recell.tasks import _scores
from recell.tasks._checks import check_choice, check_part
from recell.tasks._classes import Answer, ClassCodec, ClassNetwork, Item, check_classes, names_of, truth_of
from recell.tasks._inputs import LEVELS, SCALES, Reader, SeriesReader, Texts, TokenFeatures, reader_of
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._pooling import POOLINGS
from recell.tasks._sequence import SequenceTask, Source
from recell.tasks._vectors import VectorOptions, put_vectors
from recell.training.loop import check_number


class Classifier(VectorOptions, SequenceTask[Labelled, Item]):
    """Learns the class of a whole text or series; several at once where each example's label is a list, or the labels are an
    indicator matrix: an array (N, labels) of 0 and 1, and `predict` then gives such a one. scikit-learn's searches divide by
    class; lists of labels they divide with ``cv=KFold()`` alone.

    Data: a `.ts` file, an idx file of images (MNIST), a file with a label, a tab and a text on each line, a folder with a file
    for each class; or a list of texts, of series (T, C), or an array (N, T, C), with labels. Texts are cut by ``level`` into
    "words", "characters" or "subwords" (at most ``vocabulary_size``, learnt from the training texts); tokens that occur less
    than ``minimum_count`` times, and ``unknown_rate`` of them in training, are unknown. ``vectors`` names a text file
    of pretrained word vectors, whose length is ``embedding_size``: training words begin with theirs, and learn on; those of other
    words are not read, which stay unknown. Series are scaled by the training steps' mean and deviation: of each channel, of
    "all" values, or "none".

    ``pooling`` "last", "mean", "max" or "attention". ``class_weight`` "balanced" or weights by class: with one label, the
    weight of an example of that class (balanced: examples / (classes * its examples)); with several, what its presence weighs
    beside its absence (balanced: absent / present). ``threshold``: the probability from which a label is given, where there
    may be several. ``label_separator`` divides the labels of a file's line. ``encoding_errors`` "strict" refuses a file of texts
    that is not UTF-8, "replace" puts U+FFFD in the place of what is none. ``stream=True`` reads a file anew each epoch.

    ``hidden_size`` may be a list, a size for each layer. Between layers: ``residual`` or ``highway``, ``dropout``; before the
    first ``input_dropout``; ``variational`` drops the same units at all steps (`recell.nn.Recurrent`).
    """

    _estimator_type = "classifier"  # what scikit-learn before 1.6 asks; later ones ask `__sklearn_tags__`

    def __init__(self, *, cell: Cell | str = "LSTM", hidden_size: HiddenSize = 128, num_layers: int = 1,
                 bidirectional: bool = True, sizes: Mapping[str, int] | None = None, modifiers: Sequence[str] = (),
                 pooling: str = "last", dropout: float = 0.3, input_dropout: float | None = 0.0, variational: bool = False,
                 residual: bool = False, highway: bool = False, level: str = "words", embedding_size: int = 100,
                 vectors: str | None = None, lowercase: bool = True, minimum_count: int = 1, vocabulary_size: int = 8000,
                 unknown_rate: float = 0.02, scale: str = "channels",
                 class_weight: str | Mapping[Any, float] | None = None, label_smoothing: float = 0.0, threshold: float = 0.5,
                 label_separator: str | None = None, encoding_errors: EncodingErrors = "strict", batch_size: int = 32,
                 steps: int | None = None, epochs: int | None = None, optimizer: str = "adamw", learning_rate: float = 3e-3,
                 validation_fraction: float = 0.1, patience: int | None = None, plan: Mapping[str, Any] | None = None,
                 seed: int = 0, threads: int | None = None, device: str = "cpu", backend: str = "auto",
                 stream: bool = False) -> None:  # fmt: skip
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.sizes = sizes
        self.modifiers = modifiers
        self.pooling = pooling
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.variational = variational
        self.residual = residual
        self.highway = highway
        self.level = level
        self.embedding_size = embedding_size
        self.vectors = vectors
        self.lowercase = lowercase
        self.minimum_count = minimum_count
        self.vocabulary_size = vocabulary_size
        self.unknown_rate = unknown_rate
        self.scale = scale
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.threshold = threshold
        self.label_separator = label_separator
        self.encoding_errors: EncodingErrors = encoding_errors
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

    # -- asked of a trained one --------------------------------------------------------------------------------

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, in the order of `predict_proba`'s columns."""
        return np.array(self._fitted()[1].classes)  # type: ignore[attr-defined]

    def predict(self, data: Any, *, window: int | None = None) -> Any:
        """An answer for every example, in the form in which labels were given: a list, or an array (N, labels) of 0 and 1; for an
        iterator another one that reads as it is asked, ``window`` examples at a time (as of every task: ``batch_size``)."""
        answers, codec = super().predict(data, window=window), self._fitted()[1]
        assert isinstance(codec, ClassCodec)
        return np.array(answers).reshape(-1, codec.columns) if codec.columns and isinstance(answers, list) else answers

    def answers(self, path: str | Path) -> Iterator[tuple[str, Any]]:
        return ((shown, said.tolist() if isinstance(said, np.ndarray) else said) for shown, said in super().answers(path))

    def predict_proba(self, data: Any) -> NDArray[np.float32]:
        """The probability of each class for each example, (N, classes)."""
        codec = self._fitted()[1]
        return np.array(list(self._asked(data)), np.float32).reshape(-1, len(codec.classes))  # type: ignore[attr-defined]

    def attention(self, data: Any) -> list[NDArray[np.float32]]:
        """How much each step of each example counts, (T,) each and 1 in sum; RecellError without attention pooling."""
        network, _ = self._fitted()
        if self.pooling != "attention":
            came = f"pooling={self.pooling!r}"
            raise RecellError(message("this classifier has no attention", came=came, write="pooling='attention'"))
        assert isinstance(network, ClassNetwork)
        return list(self._asked(data, network.attention))

    def grows(self, example: Any) -> list[tuple[Any, dict[Label, float]]]:
        """How the decision on one example grows: each word (or the number of each step) with the probabilities of the
        classes when all up to it has been read and nothing after."""
        [whole] = unlabelled_of([example])
        value, text = whole.value, isinstance(whole.value, str)
        ends = _word_ends(value) if isinstance(value, str) else [(step, step) for step in range(1, len(value) + 1)]
        seen = self.predict_proba([value[:end] for _, end in ends])
        names: list[Label] = self.classes_.tolist()
        shown = [word if text else step for word, step in ends]
        return [(word, dict(zip(names, row.tolist(), strict=True))) for word, row in zip(shown, seen, strict=True)]

    def score(self, data: Any, labels: Any = None) -> float:
        """Accuracy; macro F1 over the labels that were learnt where an example may have several. A label that training never saw
        counts as missed, for scikit-learn's folds may hold one; `evaluate` refuses it, for it has no log loss."""
        network, codec = self._fitted()
        with self._thread_count():
            figures = self._measure(network, codec, self._labelled(data, labels), labelled=False)
        return figures[self._main_figure(codec)]

    def report(self, data: Any, labels: Any = None) -> str:
        """Precision, recall and F1 of every class, and the table of confusions where each example has one class."""
        network, codec = self._fitted()
        truths, chosen = list[NDArray[Any]](), list[NDArray[Any]]()  # small beside the examples, which are not kept
        with self._thread_count():
            for examples, answers, *_ in self._answered(network, codec, self._labelled(data, labels)):
                truths.append(truth_of(codec, examples).astype(np.int32))
                chosen.append(_scores.decided(np.array(answers), self._bar(codec)).astype(np.int32))
        if not truths:
            raise DataError("there is nothing to measure; came no example")
        names = [str(name) for name in self.classes_]
        return _scores.report(np.concatenate(truths), np.concatenate(chosen), names)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags(multi_label=True)
        return tags

    # -- what a task on sequences says -------------------------------------------------------------------------

    def _check(self) -> Cell:
        cell = self._check_sequence(("embedding_size", "minimum_count", "vocabulary_size"))
        for name, choices in (("level", LEVELS), ("scale", SCALES), ("pooling", POOLINGS),
                              ("encoding_errors", get_args(EncodingErrors))):  # fmt: skip
            check_choice(name, getattr(self, name), choices)
        for name in ("unknown_rate", "label_smoothing", "threshold"):
            check_part(name, getattr(self, name), write=0.1)
        if self.vectors is not None and self.level != "words":
            raise RecellError(message("vectors are of words", came=f"level={self.level!r}", write="level='words'"))
        weight = self.class_weight
        if weight is not None and weight != "balanced" and not isinstance(weight, Mapping):
            raise RecellError(message("class_weight is weights by class", came=repr(weight), write="'balanced' or {'rare': 5.0}"))
        return cell

    def _labelled(self, data: Any, labels: Any) -> Source[Labelled]:
        if isinstance(data, (str, Path)):
            return LabelledFile(data, separator=self.label_separator, encoding_errors=self.encoding_errors)
        return labelled_of(data, labels)

    def _unlabelled(self, data: Any) -> Iterable[Labelled]:
        if isinstance(data, (str, Path)):
            return LabelledFile(data, labelled=False, separator=self.label_separator, encoding_errors=self.encoding_errors,
                                classes=self.classes_.tolist())  # fmt: skip
        return unlabelled_of(data)

    def _labels_in(self, example: Labelled) -> Iterable[Any]:
        """Its labels; an indicator matrix has a column for each label, seen or not."""
        return () if example.columns else names_of(example.label)

    def _learn_codec(self, examples: Source[Labelled]) -> ClassCodec:
        counts: dict[Label, int] = {}
        forms, total, texts, columns = set[bool](), len(examples), False, 0
        types: dict[type, Label] = {}
        for example in examples:
            if example.columns > columns:
                columns = example.columns
                counts = {name: counts.get(name, 0) for name in range(columns)}
            texts = texts or isinstance(example.value, str)
            forms.add(isinstance(example.label, tuple))
            for name in names_of(example.label):
                counts[name] = counts.get(name, 0) + 1
                types.setdefault(type(name), name)
        if len(types) > 1:
            came = " and ".join(map(repr, types.values()))
            raise DataError(message("labels are all of one type", came=came, write="all texts, or all whole numbers"))
        classes = sorted(counts)
        check_classes(classes, forms)
        return ClassCodec(self._learn_reader(examples, texts), classes, several=True in forms,
                          counts=[counts[name] for name in classes], total=total, columns=columns)

    def _learn_reader(self, examples: Source[Labelled], texts: bool) -> Reader:
        if not texts:
            if self.vectors is not None:
                raise RecellError(message("vectors are of words", came="series to learn from", write="vectors=None"))
            return SeriesReader.learn(examples, scale=self.scale)
        known = self._learn_vectors(self._words(examples), "embedding_size")
        return Texts.learn(_spoken(examples), level=self.level, lowercase=self.lowercase, minimum_count=self.minimum_count,
                           vocabulary_size=self.vocabulary_size, known=known)

    def _words(self, examples: Source[Labelled]) -> set[str]:
        """All words of the texts, as they are looked up; none where no vectors are."""
        if self.vectors is None:
            return set()
        texts = (text.lower() if self.lowercase else text for text in _spoken(examples))
        return {word for text in texts for word in tokenize(text, "words")}

    def _codec_of(self, described: Mapping[str, Any]) -> ClassCodec:
        classes, counts, total = (described.get(name) for name in ("classes", "counts", "total"))
        if not isinstance(classes, list) or not isinstance(counts, list) or not is_whole(total, least=0):
            raise ModelError("config.json is damaged: the codec has no classes; save the model again")
        several, columns = described.get("several"), described.get("columns")
        if not isinstance(several, bool) or columns not in (0, len(classes)):
            raise ModelError("config.json is damaged: the codec's columns are not its classes; save the model again")
        return ClassCodec(reader_of(described.get("reader")), classes, several=several, counts=counts, total=total,
                          columns=columns)  # fmt: skip

    def _build(self, cell: Cell, codec: Any) -> ClassNetwork:
        network = ClassNetwork(cell, codec, Layers.of(self), embedding_size=self.embedding_size, pooling=self.pooling,
                               unknown_rate=self.unknown_rate, weights=self._weights(codec),
                               label_smoothing=self.label_smoothing)  # fmt: skip
        if self._vectors and isinstance(network.features, TokenFeatures):
            put_vectors(network.features.embedding, codec.reader.vocabulary, self._vectors)
        return network

    def _weights(self, codec: ClassCodec) -> Tensor | None:
        """A weight for each class, (classes,)."""
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str):
            counts = [max(count, 1) for count in codec.counts]  # a matrix may have an empty column
            of_all = [(codec.total - count) / count for count in counts]
            of_one = [codec.total / (len(counts) * count) for count in counts]
            return torch.tensor(of_all if codec.several else of_one)
        given = {str(name): value for name, value in self.class_weight.items()}  # as names of JSON, where a model was saved
        for name in given:
            if name not in map(str, codec.classes):
                raise RecellError("class_weight: " + unknown("class", name, map(str, codec.classes)))
        weights = [check_number("class_weight", given.get(str(name), 1.0)) for name in codec.classes]
        return torch.tensor(weights, dtype=torch.float32)

    def _main_figure(self, codec: Any) -> str:
        return "macro_f1" if codec.several else "accuracy"

    def _counts(self, codec: Any, examples: Sequence[Labelled], answers: Sequence[Answer]) -> dict[str, Any]:
        """Of each class, and of each bin of confidence (`_scores.counts`)."""
        return _scores.counts(truth_of(codec, examples), np.array(answers), self._bar(codec))

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """Accuracy (all labels of an example right), macro F1, log loss, expected calibration error."""
        return _scores.figures_of(counts, self._bar(codec))

    def _bar(self, codec: Any) -> float | None:
        return self.threshold if codec.several else None

    def _readable(self, codec: Any, example: Labelled, answer: Answer) -> Labels | list[Label] | NDArray[np.int64]:
        if codec.columns:
            return _scores.decided(answer, self.threshold)
        if codec.several:
            return [name for name, probability in zip(codec.classes, answer, strict=True) if probability >= self.threshold]
        return codec.classes[int(answer.argmax())]

    def _shown(self, example: Labelled) -> str:
        return example.value if isinstance(example.value, str) else example.where


def _spoken(examples: Source[Labelled]) -> Iterator[str]:
    """The examples' texts."""
    return (example.value for example in examples if isinstance(example.value, str))


def _word_ends(text: str) -> list[tuple[str, int]]:
    """The words of a text, and where each ends."""
    found, place = list[tuple[str, int]](), 0
    for word in tokenize(text, "words"):
        place = text.index(word, place) + len(word)
        found.append((word, place))
    return found
