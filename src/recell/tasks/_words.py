"""Words as a network reads them: an embedding of the word, what its characters say, its letter trigrams, its shape.

A word that training never saw still has letters: that is what the others are for (a character RNN as in Lample et al. 2016;
letter trigrams as in Huang et al. 2013; shapes as in Collins 2002).
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell import cells
from recell.data.ragged import Ragged, in_columns, side_by_side
from recell.data.vocabulary import UNKNOWN, Vocabulary
from recell.errors import ModelError, ShapeError, message
from recell.language.cell import Cell
from recell.nn import Recurrent
from recell.tasks._checks import check_count, check_part
from recell.tasks._inputs import START
from recell.tasks._vectors import VectorOptions, put_vectors

Batch = dict[str, Tensor]
WIDTHS = "word_size, character_size (twice), trigram_size and shape_size"  # what a word's features are made of
_FURTHER = 32  # how much further than twice a size that does not fit is looked for one that does
_LONGEST_WORD = 40  # characters that are read of a word
_KEPT = 20_000  # spellings of words that training never saw; a stream of them has no end


class WordTable:
    """The vocabularies of words, characters, trigrams and shapes; words are looked up in lower case where `lowercase` says so."""

    def __init__(self, words: Vocabulary, characters: Vocabulary, trigrams: Vocabulary | None, *, lowercase: bool,
                 shapes: Vocabulary | None = None) -> None:
        self.words, self.characters, self.trigrams, self.lowercase = words, characters, trigrams, lowercase
        self.shapes = shapes
        self._numbers: dict[str, int] = {}  # of the words whose spelling is kept, the training words first
        self._trained = 0
        self._letters, self._threes, self._shape = Ragged(), Ragged(), Ragged()

    @classmethod
    def learn(cls, sentences: Iterable[Sequence[str]], *, minimum_count: int, lowercase: bool, trigrams: bool,
              shapes: bool = False, known: Iterable[str] = ()) -> WordTable:
        """The vocabularies of sentences; `known` words have a vector already, and are kept however rare they are. Of letters,
        trigrams and shapes those that occur once are unknown, so that the unknown one's vector learns."""
        counts, letters, threes, seen = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for sentence in sentences:
            counts.update(sentence)
        lowered = Counter[str]()
        for word, count in counts.items():
            lowered[word.lower() if lowercase else word] += count
            letters.update(dict.fromkeys(word, count))
            if trigrams:
                threes.update(dict.fromkeys(trigrams_of(word), count))
            if shapes:
                seen[shape_of(word)] += count
        known = set(known)
        kept = {word: max(count, minimum_count if word in known else 0) for word, count in lowered.items()}
        table = cls(_most(kept, minimum_count), _most(letters, 2), _most(threes, 2) if trigrams else None, lowercase=lowercase,
                    shapes=_most(seen, 2) if shapes else None)
        for word in counts:
            table._spelling(word)
        table._trained = len(counts)
        return table

    def encode(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The words' numbers, (words,)."""
        return self.words.encode_tokens([word.lower() for word in words] if self.lowercase else list(words))

    def _spelling(self, word: str) -> int:
        """The number under which a word's letters, trigrams and shape are kept."""
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self._numbers)
            self._letters.append(self.characters.encode_tokens(list(word[:_LONGEST_WORD])))
            self._threes.append(self.trigrams.encode_tokens(trigrams_of(word)) if self.trigrams else np.zeros(0, np.int64))
            self._shape.append(self.shapes.encode_tokens([shape_of(word)]) if self.shapes else np.zeros(0, np.int64))
        return number

    def _forget(self) -> None:
        """Let the spellings of other than the training words go, once they are many."""
        if len(self._numbers) - self._trained > _KEPT:
            while len(self._numbers) > self._trained:
                self._numbers.popitem()
            for rows in (self._letters, self._threes, self._shape):
                rows.cut(self._trained)

    def batch(self, sentences: Sequence[tuple[Sequence[str], NDArray[np.int64]]]) -> Batch:
        """`words` (T, N), `lengths` (N,); each distinct word's `characters` (L, U), `trigrams` (U, L),
        `shapes` (U,) where there are any, longest word first; `which` (T, N) it is."""
        self._forget()
        spelt = np.array([self._spelling(word) for words, _ in sentences for word in words])
        distinct, first, place = np.unique(spelt, return_index=True, return_inverse=True)
        letters = self._letters.lengths(distinct)
        order = np.lexsort((first, -letters))  # no matter what was read before
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        distinct, lengths = distinct[order], np.array([len(words) for words, _ in sentences])
        found = {
            "words": side_by_side([numbers for _, numbers in sentences]),
            "which": in_columns(rank[place], lengths),
            "characters": self._letters.padded(distinct),
            "character_lengths": letters[order],
            "trigrams": np.ascontiguousarray(self._threes.padded(distinct).T),
            "lengths": lengths,
        }
        if self.shapes is not None:
            found["shapes"] = self._shape.padded(distinct)[0]
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def to_json(self) -> dict[str, Any]:
        """The table as data."""
        trigrams, shapes = (None if held is None else held.to_json() for held in (self.trigrams, self.shapes))
        return {"words": self.words.to_json(), "characters": self.characters.to_json(), "trigrams": trigrams,
                "shapes": shapes, "lowercase": self.lowercase}  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WordTable:
        """The table out of data; ModelError where it is none."""
        if not isinstance(data.get("words"), dict) or not isinstance(data.get("characters"), dict):
            raise ModelError("config.json is damaged: the codec has no vocabularies; save the model again")
        trigrams, shapes = (data.get(name) and Vocabulary.from_json(data[name]) for name in ("trigrams", "shapes"))
        return cls(Vocabulary.from_json(data["words"]), Vocabulary.from_json(data["characters"]), trigrams,
                   lowercase=bool(data.get("lowercase")), shapes=shapes)


class WordFeatures(nn.Module):
    """`forward` gives (T, N, width): the word's vector, beside it what a character RNN makes of its letters, its trigrams
    and its shape.

    In training, a word becomes unknown with the probability `unknown_rate`, so that the unknown word's vector learns too.
    """

    def __init__(self, table: WordTable, cell: Cell, *, word_size: int, character_size: int, trigram_size: int,
                 shape_size: int, unknown_rate: float, backend: str, sizes: Mapping[str, int] | None = None,
                 start: float = START) -> None:
        super().__init__()
        self.unknown_rate = unknown_rate
        self.words = nn.Embedding(len(table.words), word_size)
        self.width = word_size
        self.characters = self.spelling = self.trigrams = self.shapes = None
        if character_size:
            self.characters = nn.Embedding(len(table.characters), character_size)
            check_letters(cell, character_size, sizes)
            self.spelling = Recurrent(cell, character_size, character_size, bidirectional=True, sizes=sizes, backend=backend)
            self.width += self.spelling.output_size
        if table.trigrams is not None:
            self.trigrams = nn.EmbeddingBag(len(table.trigrams), trigram_size, mode="sum", padding_idx=0)
            self.width += trigram_size
        if table.shapes is not None:
            self.shapes = nn.Embedding(len(table.shapes), shape_size)
            self.width += shape_size
        for vectors in (self.words, self.characters, self.trigrams, self.shapes):
            if vectors is not None:
                nn.init.normal_(vectors.weight, std=start)
            if vectors is not None and vectors is not self.words:
                nn.init.zeros_(vectors.weight.data[UNKNOWN])  # training may never meet it: then it says nothing

    def forward(self, batch: Batch) -> Tensor:
        """(T, N, width) of a WordTable's batch."""
        words = batch["words"]
        if self.training and self.unknown_rate:
            words = torch.where(torch.rand(words.shape, device=words.device) < self.unknown_rate, UNKNOWN, words)
        parts = [self.words(words)]
        if self.characters is not None:
            parts.append(self._spelt(batch)[batch["which"]])
        if self.trigrams is not None:
            parts.append(self.trigrams(batch["trigrams"])[batch["which"]])
        if self.shapes is not None:
            parts.append(self.shapes(batch["shapes"])[batch["which"]])
        return torch.cat(parts, 2)

    def _spelt(self, batch: Batch) -> Tensor:
        """What both directions have read of each distinct word, (U, width)."""
        assert self.characters is not None and self.spelling is not None
        lengths = batch["character_lengths"]
        y, _ = self.spelling(self.characters(batch["characters"]), lengths=lengths)
        words, width = y.shape[1:]
        word = torch.arange(words, device=y.device)
        last = (lengths - 1).clamp(min=0) * words + word
        # Of the rows (step, word, direction): the forward direction's at the last letter, the other's at the first.
        ends = torch.stack([2 * last, 2 * word + 1], 1)
        return functional.embedding(ends, y.reshape(-1, width // 2)).reshape(words, width)


class WordOptions(VectorOptions):
    """What the tasks that read words share: their options, the table learnt from the training words, the features."""

    sizes: Mapping[str, int] | None
    word_size: int
    character_size: int
    trigram_size: int
    shape_size: int
    lowercase: bool
    minimum_count: int
    unknown_rate: float
    backend: str
    _start: float = START  # deviation of fresh vectors

    def _check_words(self) -> None:
        """Refuse options that cannot be."""
        check_part("unknown_rate", self.unknown_rate, write=0.02)
        for name in ("character_size", "trigram_size", "shape_size"):
            if getattr(self, name) != 0:
                check_count(name, getattr(self, name))

    def _word_table(self, spoken: Iterable[Sequence[str]]) -> WordTable:
        """The vocabularies of sentences that are read again and again; words with a pretrained vector are kept, however rare."""
        looked_up = () if self.vectors is None else spoken
        self._learn_vectors({word.lower() if self.lowercase else word for words in looked_up for word in words}, "word_size")
        return WordTable.learn(spoken, minimum_count=self.minimum_count, lowercase=self.lowercase, known=self._vectors,
                               trigrams=self.trigram_size > 0, shapes=self.shape_size > 0)

    def _word_features(self, cell: Cell, table: WordTable) -> WordFeatures:
        """Fresh features, with the pretrained vectors in their place."""
        letters, sizes = (cells.get("LSTM"), None) if cell.brings_output else (cell, self.sizes)
        features = WordFeatures(table, letters, word_size=self.word_size, character_size=self.character_size,
                                trigram_size=self.trigram_size, shape_size=self.shape_size, unknown_rate=self.unknown_rate,
                                backend=self.backend, sizes=sizes, start=self._start)  # fmt: skip
        put_vectors(features.words, table.words, self._vectors)
        return features


def check_letters(cell: Cell, size: int, sizes: Mapping[str, int] | None) -> None:
    """ShapeError where a cell can have no layer that reads `size` numbers and has `size` units; it offers the next size."""
    found = fitting(cell, size, sizes)
    if found is None:
        cell.resolve(size, size, sizes)  # raises: it is not this size that does not fit
    if found != size:
        said = f"{cell.name} cannot read letters with a layer of this size"
        raise ShapeError(message(said, came=f"character_size={size}", write=f"character_size={found}, or 0"))


def fitting(cell: Cell, size: int, sizes: Mapping[str, int] | None) -> int | None:
    """The least size from `size` on, of input and units alike, that a cell takes; None where there is none nearby."""
    for number in range(size, 2 * size + _FURTHER):
        with contextlib.suppress(ShapeError):
            cell.resolve(number, number, sizes)
            return number
    return None


def trigrams_of(word: str) -> list[str]:
    """The letter trigrams of a word between marks of its ends.

    >>> trigrams_of("cat")
    ['#ca', 'cat', 'at#']
    """
    marked = f"#{word}#"
    return [marked[start : start + 3] for start in range(max(1, len(marked) - 2))]


def shape_of(word: str) -> str:
    """A word's pattern of capitals, small letters, figures and signs, runs of one sort written once.

    >>> [shape_of(word) for word in ("Taipei", "CO2", "3.5", "iPhone")]
    ['Xx', 'Xd', 'd.d', 'xXx']
    """
    sorts = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return "".join(sort for sort, _ in itertools.groupby(sorts))


def _most(counts: Mapping[str, int], minimum_count: int) -> Vocabulary:
    kept = (symbol for symbol, count in counts.items() if count >= minimum_count)
    return Vocabulary(sorted(kept, key=lambda symbol: (-counts[symbol], symbol)), level="words")
