"""What a classifier learns with: examples and classes as numbers, and the network that scores every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.labelled import Label, Labelled, Labels
from recell.errors import DataError, message
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.tasks._checks import unseen
from recell.tasks._inputs import Reader
from recell.tasks._layers import Layers
from recell.tasks._pooling import Pooling
from recell.tasks._sequence import Batch, SequenceNetwork
from recell.training import Loss

Answer = NDArray[np.float32]  # the probability of each class, (classes,)


@dataclass(frozen=True)
class Item:
    """An example as numbers; `label` is a class's number, or for several labels 0 or 1 for each class."""

    numbers: NDArray[Any]
    label: Any


class ClassCodec:
    """Examples and their classes as numbers. `counts` says how often training saw each class, `total` how many examples;
    `columns` how wide the indicator matrix was that the labels came as, 0 where they were lists."""

    unit = "examples"

    def __init__(self, reader: Reader, classes: Sequence[Label], *, several: bool, counts: Sequence[int], total: int,
                 columns: int = 0) -> None:  # fmt: skip
        self.reader, self.classes, self.several, self.counts, self.total = reader, tuple(classes), several, tuple(counts), total
        self.columns = columns
        self._numbers = {name: number for number, name in enumerate(self.classes)}

    def encode(self, example: Labelled, *, labelled: bool) -> Item:
        """The example as numbers; DataError for a label that training never saw."""
        return Item(self.reader.encode(example), self.truth(example) if labelled else 0)

    def truth(self, example: Labelled, *, strict: bool = True) -> Any:
        """The number of its class; where there may be several, (classes,) of 0 and 1. A label that training never saw is a
        DataError; not `strict`, it is the number -1, and nothing among several."""
        if isinstance(example.label, tuple) != self.several:
            wanted = "a list of labels" if self.several else "one label"
            raise DataError(message(f"{example.where}: this model has {wanted} for each example", came=repr(example.label)))
        if example.columns not in (0, self.columns):
            wanted = f"the {self.columns} columns of training" if self.columns else "the labels' names"
            raise DataError(message("an indicator matrix is unlike training's", came=f"{example.columns} columns", write=wanted))
        found = [self._number(name, example.where) if strict else self._numbers.get(name, -1) for name in names_of(example.label)]
        return np.isin(np.arange(len(self.classes)), found).astype(np.float32) if self.several else found[0]

    def length(self, item: Item) -> int:
        return len(item.numbers)

    def batch(self, items: Sequence[Item]) -> Batch:
        labels = torch.from_numpy(np.array([item.label for item in items]))
        return {**self.reader.batch([item.numbers for item in items]), "labels": labels}

    def to_json(self) -> dict[str, Any]:
        return {"reader": self.reader.to_json(), "classes": list(self.classes), "several": self.several,
                "counts": list(self.counts), "total": self.total, "columns": self.columns}  # fmt: skip

    def _number(self, name: Label, where: str) -> int:
        if name not in self._numbers:
            raise unseen(where, "label", str(name), map(str, self.classes))
        return self._numbers[name]


class ClassNetwork(SequenceNetwork):
    """Features -> Recurrent -> one vector of all steps -> a score for each class."""

    def __init__(self, cell: Cell, codec: ClassCodec, layers: Layers, *, embedding_size: int, pooling: str, unknown_rate: float,
                 weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        classes = len(codec.classes)
        self.features = codec.reader.features(embedding_size, unknown_rate)
        self.several, self.smoothing = codec.several, label_smoothing
        self.recurrent = layers.make(cell, self.features.width, classes, reads=self.features.reads)
        read = self.recurrent.output_size
        self.pooling = Pooling(pooling, read, 1 + layers.bidirectional)
        self.dropout = Dropout(0.0 if cell.brings_output else layers.dropout)  # of scores nothing drops
        self.output = nn.Identity() if cell.brings_output else nn.Linear(read, classes)
        self.register_buffer("weights", weights, persistent=False)

    def outputs(self, batch: Batch) -> Tensor:
        """The recurrent network's outputs, (T, N, width)."""
        lengths, x = batch["lengths"], self.features(batch)
        return self.recurrent(x, lengths=None if bool((lengths == len(x)).all()) else lengths)[0]

    def scores(self, batch: Batch) -> Tensor:
        """A score for each class, (N, classes)."""
        return self.output(self.dropout(self.pooling(self.outputs(batch), batch["lengths"])))

    def loss(self, batch: Batch) -> Loss:
        scores, labels = self.scores(batch), batch["labels"]
        weights: Tensor | None = self.weights  # type: ignore[assignment]
        if self.several:
            smooth = labels * (1 - self.smoothing) + self.smoothing / 2
            total = functional.binary_cross_entropy_with_logits(scores, smooth, pos_weight=weights, reduction="sum")
            total = total / scores.shape[1]
        else:
            total = functional.cross_entropy(scores, labels, weights, label_smoothing=self.smoothing, reduction="sum")
        return Loss(total / len(labels), len(labels))

    def answer(self, batch: Batch) -> list[Answer]:
        scores = self.scores(batch)
        return list((scores.sigmoid() if self.several else scores.softmax(1)).cpu().numpy())

    def attention(self, batch: Batch) -> list[NDArray[np.float32]]:
        """How much each step of each row counts, (T,) each."""
        weights = self.pooling.weights(self.outputs(batch), batch["lengths"]).cpu().numpy()
        return [weights[:length, n] for n, length in enumerate(batch["lengths"].tolist())]


def names_of(label: Labels | None) -> tuple[Label, ...]:
    return () if label is None else label if isinstance(label, tuple) else (label,)


def truth_of(codec: Any, examples: Sequence[Labelled]) -> NDArray[Any]:
    """The numbers of the classes, (N,), -1 for one that training never saw; or 0 and 1 for each, (N, classes)."""
    return np.array([codec.truth(example, strict=False) for example in examples])


def check_classes(classes: Sequence[Label], forms: set[bool]) -> None:
    if len(forms) > 1:
        raise DataError(message("some examples have one label and some a list of labels", write="a list for each, or for none"))
    if len(classes) < (1 if True in forms else 2):
        came = f"only {classes[0]!r}" if classes else "no label"
        raise DataError(message("a classifier needs examples of two classes or more", came=came))
