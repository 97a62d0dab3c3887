"""What a task on whole sequences reads: texts as tokens, or series as scaled numbers. Each learns from the training examples,
turns an example into numbers, and is a module that turns a batch into a network's input."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recell.data.labelled import Labelled
from recell.data.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary, checked_level, tokenize
from recell.errors import DataError, ModelError, message, needing
from recell.tasks._scales import Means, Moments, Values, scale_in, scaled

Batch = dict[str, Tensor]
Numbers = NDArray[Any]  # tokens (T,) or steps (T, C)
LEVELS = ("words", "characters", "subwords")
SCALES = ("channels", "all", "none")
START = 0.1  # deviation of a token's vector before training


class Reader(Protocol):
    """Examples as numbers; what it has learnt is data."""

    def encode(self, example: Labelled) -> Numbers:
        """(T,) or (T, C); DataError for an example that this reader cannot read."""
        ...

    def batch(self, rows: Sequence[Numbers]) -> Batch:
        """Padded, the steps first, with their `lengths` (N,)."""
        ...

    def features(self, embedding_size: int, unknown_rate: float) -> Features:
        """A fresh module that makes a network's input of a batch."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The reader as data, with its kind: `texts` or `series`."""
        ...


class Features(nn.Module, ABC):
    """What turns a reader's batch into a network's input."""

    width: int
    reads: str  # what the width is made of, for people

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """A batch's input for a network, (T, N, width)."""


class Texts:
    """Texts cut into words, characters or subwords; a token that training never saw is UNKNOWN."""

    def __init__(self, level: str, lowercase: bool, tokens: Vocabulary | Any) -> None:
        self.level, self.lowercase, self._tokens = level, lowercase, tokens

    @classmethod
    def learn(cls, texts: Iterable[str], *, level: str, lowercase: bool, minimum_count: int, vocabulary_size: int,
              known: Container[str] = ()) -> Texts:
        """The vocabulary of the training texts, `known` words however rare; for subwords, the merges of byte-pair encoding
        (Sennrich et al. 2016)."""
        lowered = (text.lower() if lowercase else text for text in texts)
        if level == "subwords":
            return cls(level, lowercase, _learnt_tokenizer(lowered, vocabulary_size, minimum_count))
        cut = (token for text in lowered for token in tokenize(text, checked_level(level)))
        return cls(level, lowercase, Vocabulary.of_tokens(cut, level=checked_level(level), minimum_count=minimum_count,
                                                        known=known))

    @property
    def vocabulary(self) -> Vocabulary:
        """The words or characters; subwords have none."""
        assert isinstance(self._tokens, Vocabulary)
        return self._tokens

    def encode(self, example: Labelled) -> Numbers:
        text = example.value
        if not isinstance(text, str):
            raise DataError(message(f"{example.where}: this model reads texts", came=f"an array of the shape {text.shape}"))
        text = text.lower() if self.lowercase else text
        made: Any = self._tokens.encode(text)
        numbers = made if isinstance(made, np.ndarray) else np.array(made.ids, np.int64)
        if not len(numbers):
            raise DataError(f"{example.where} is an empty text; leave it out, or give it words")
        return numbers

    def batch(self, rows: Sequence[Numbers]) -> Batch:
        tokens = np.full((max(map(len, rows)), len(rows)), PADDING, np.int64)
        for n, row in enumerate(rows):
            tokens[: len(row), n] = row
        return {"tokens": torch.from_numpy(tokens), "lengths": torch.tensor([len(row) for row in rows])}

    def features(self, embedding_size: int, unknown_rate: float) -> Features:
        size = len(self._tokens) if isinstance(self._tokens, Vocabulary) else self._tokens.get_vocab_size()
        return TokenFeatures(size, embedding_size, unknown_rate)

    def to_json(self) -> dict[str, Any]:
        tokens = self._tokens.to_json() if isinstance(self._tokens, Vocabulary) else json.loads(self._tokens.to_str())
        return {"kind": "texts", "level": self.level, "lowercase": self.lowercase, "tokens": tokens}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Texts:
        """The reader out of its data; ModelError where it is none."""
        level, tokens = data.get("level"), data.get("tokens")
        if level not in LEVELS or not isinstance(tokens, dict):
            raise ModelError("config.json is damaged: the codec has no vocabulary; save the model again")
        read = _tokenizer_of(tokens) if level == "subwords" else Vocabulary.from_json(tokens)
        return cls(level, bool(data.get("lowercase")), read)


class TokenFeatures(Features):
    """A vector for each token. In training, a token becomes unknown with the probability `unknown_rate`, so that the unknown
    token's vector learns too."""

    def __init__(self, tokens: int, size: int, unknown_rate: float) -> None:
        super().__init__()
        self.width, self.reads, self.unknown_rate = size, "embedding_size", unknown_rate
        self.embedding = nn.Embedding(tokens, size)
        nn.init.normal_(self.embedding.weight, std=START)  # training moves a vector by little: at 1 it stays chance

    def forward(self, batch: Batch) -> Tensor:
        tokens = batch["tokens"]
        if self.training and self.unknown_rate:
            tokens = torch.where(torch.rand(tokens.shape, device=tokens.device) < self.unknown_rate, UNKNOWN, tokens)
        return self.embedding(tokens)


class SeriesReader:
    """Series of `channels` channels, minus the training steps' `mean` (C,), divided by their `deviation` (C,).

    Learnt with `scale` "channels", each channel has a mean and deviation of its own; with "all", they are of all values
    together (pixels, where a channel may hardly vary); with "none", values stay as they are. A channel that never varied in
    training is divided by 1.
    """

    def __init__(self, mean: Means, deviation: Values) -> None:
        self.mean, self.deviation, self.channels = mean, deviation, len(mean)

    @classmethod
    def learn(cls, examples: Iterable[Labelled], *, scale: str) -> SeriesReader:
        """Mean and deviation of the training series; DataError where their number of channels changes."""
        moments, channels = Moments(), None
        for example in examples:
            channels = np.shape(example.value)[1] if channels is None else channels
            _check_channels(example, channels)
            moments.add(np.asarray(example.value))
        if scale == "channels":
            return cls(*moments.scale())
        mean, deviation = moments.pooled().scale() if scale == "all" else (np.zeros(()), np.ones((), np.float32))
        return cls(np.full(moments.mean.shape, mean), np.full(moments.mean.shape, deviation))

    def encode(self, example: Labelled) -> Numbers:
        if isinstance(example.value, str):
            raise DataError(message(f"{example.where}: this model reads series of {self.channels} channels", came="a text"))
        _check_channels(example, self.channels)
        return scaled(example.value, self.mean, self.deviation, example.where)

    def batch(self, rows: Sequence[Numbers]) -> Batch:
        steps = np.zeros((max(map(len, rows)), len(rows), self.channels), np.float32)
        for n, row in enumerate(rows):
            steps[: len(row), n] = row
        return {"steps": torch.from_numpy(steps), "lengths": torch.tensor([len(row) for row in rows])}

    def features(self, embedding_size: int, unknown_rate: float) -> Features:
        return StepFeatures(self.channels)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "series", "mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeriesReader:
        """The reader out of its data; ModelError where it is none."""
        damaged = ModelError("config.json is damaged: the codec has no mean and deviation; save the model again")
        mean, deviation = scale_in(data, damaged)
        if mean.ndim != 1:
            raise damaged
        return cls(mean, deviation)


class StepFeatures(Features):
    """The steps as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width, self.reads = channels, "channels"

    def forward(self, batch: Batch) -> Tensor:
        return batch["steps"]


def reader_of(described: Any) -> Texts | SeriesReader:
    """A reader out of its data; ModelError where it is none."""
    kind = described.get("kind") if isinstance(described, dict) else None
    if kind not in ("texts", "series"):
        raise ModelError("config.json is damaged: the codec does not say what it reads; save the model again")
    return Texts.from_json(described) if kind == "texts" else SeriesReader.from_json(described)


def _check_channels(example: Labelled, channels: int) -> None:
    width = None if isinstance(example.value, str) else example.value.shape[1]
    if width != channels:
        came = "a text" if width is None else f"{width} channels"
        raise DataError(message(f"{example.where} is no series as the others", came=came, write=f"(T, {channels})"))


def _learnt_tokenizer(texts: Iterable[str], vocabulary_size: int, minimum_count: int) -> Any:
    """Byte-pair merges; the first four entries are those of every Vocabulary."""
    with _needing_tokenizers():
        import tokenizers
        from tokenizers import models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary_size, min_frequency=minimum_count, special_tokens=list(SPECIAL),
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _needing_tokenizers() -> AbstractContextManager[None]:
    return needing("level='subwords'", "tokenizers", extra="tasks", instead="level='words'")


def _tokenizer_of(content: Mapping[str, Any]) -> Any:
    with _needing_tokenizers():
        import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # noqa: BLE001 the library raises no class of its own
        raise ModelError(f"the model's subwords are damaged: {error}".split("\n")[0]) from None
