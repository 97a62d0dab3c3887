"""Words as a network reads them: an embedding of the word, what its characters say, its letter trigrams.

A word that training never saw still has letters: that is what the last two are for (a character RNN as in Lample et al. 2016;
letter trigrams as in Huang et al. 2013).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recell.data.vocabulary import UNKNOWN, Vocabulary
from recell.errors import DataError, ModelError, message
from recell.language.cell import Cell
from recell.nn import Recurrent

Batch = dict[str, Tensor]
_LONGEST_WORD = 40  # characters that are read of a word


class WordTable:
    """The vocabularies of words, characters and trigrams; words are looked up in lower case where `lowercase` says so."""

    def __init__(self, words: Vocabulary, characters: Vocabulary, trigrams: Vocabulary | None, *, lowercase: bool) -> None:
        self.words, self.characters, self.trigrams, self.lowercase = words, characters, trigrams, lowercase
        self._spelt: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    @classmethod
    def learn(cls, sentences: Iterable[Sequence[str]], *, minimum_count: int, lowercase: bool, trigrams: bool,
              known: Iterable[str] = ()) -> WordTable:
        """The vocabularies of sentences; `known` words have a vector already, and are kept however rare they are."""
        counts, letters, threes = Counter[str](), Counter[str](), Counter[str]()
        for sentence in sentences:
            counts.update(sentence)
        lowered = Counter[str]()
        for word, count in counts.items():
            lowered[word.lower() if lowercase else word] += count
            letters.update(dict.fromkeys(word, count))
            if trigrams:
                threes.update(dict.fromkeys(trigrams_of(word), count))
        known = set(known)
        kept = {word: max(count, minimum_count if word in known else 0) for word, count in lowered.items()}
        return cls(_most(kept, minimum_count), _most(letters, 1), _most(threes, 2) if trigrams else None, lowercase=lowercase)

    def encode(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The words' numbers, (words,)."""
        return self.words.encode_tokens([word.lower() for word in words] if self.lowercase else list(words))

    def spelling(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A word's characters and its trigrams, as numbers."""
        if word not in self._spelt:
            threes = self.trigrams.encode_tokens(trigrams_of(word)) if self.trigrams else np.zeros(0, np.int64)
            self._spelt[word] = self.characters.encode_tokens(list(word[:_LONGEST_WORD])), threes
        return self._spelt[word]

    def batch(self, sentences: Sequence[tuple[Sequence[str], NDArray[np.int64]]]) -> Batch:
        """`words` (T, N), `lengths` (N,); each distinct word's `characters` (L, U), `trigrams` (U, L); `which` (T, N) it is."""
        steps = max(len(words) for words, _ in sentences)
        numbers, which = (np.zeros((steps, len(sentences)), np.int64) for _ in range(2))
        distinct: dict[str, int] = {}
        for n, (words, encoded) in enumerate(sentences):
            numbers[: len(words), n] = encoded
            which[: len(words), n] = [distinct.setdefault(word, len(distinct)) for word in words]
        spelt = [self.spelling(word) for word in distinct]
        characters, lengths = _padded([characters for characters, _ in spelt])
        threes, _ = _padded([threes for _, threes in spelt])
        found = {"words": numbers, "which": which, "characters": characters, "character_lengths": lengths, "trigrams": threes.T,
                 "lengths": np.array([len(words) for words, _ in sentences])}  # fmt: skip
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}

    def to_json(self) -> dict[str, Any]:
        """The table as data."""
        trigrams = None if self.trigrams is None else self.trigrams.to_json()
        return {"words": self.words.to_json(), "characters": self.characters.to_json(), "trigrams": trigrams,
                "lowercase": self.lowercase}  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WordTable:
        """The table out of data; ModelError where it is none."""
        if not isinstance(data.get("words"), dict) or not isinstance(data.get("characters"), dict):
            raise ModelError("config.json is damaged: the codec has no vocabularies; save the model again")
        trigrams = data.get("trigrams")
        return cls(Vocabulary.from_json(data["words"]), Vocabulary.from_json(data["characters"]),
                   None if trigrams is None else Vocabulary.from_json(trigrams), lowercase=bool(data.get("lowercase")))


class WordFeatures(nn.Module):
    """`forward` gives (T, N, width): the word's vector, beside it what a character RNN makes of its letters, and its trigrams.

    In training, a word becomes unknown with the probability `unknown_rate`, so that the unknown word's vector learns too.
    """

    def __init__(self, table: WordTable, cell: Cell, *, word_size: int, character_size: int, trigram_size: int,
                 unknown_rate: float, backend: str) -> None:
        super().__init__()
        self.unknown_rate = unknown_rate
        self.words = nn.Embedding(len(table.words), word_size)
        self.width = word_size
        self.characters = self.spelling = self.trigrams = None
        if character_size:
            self.characters = nn.Embedding(len(table.characters), character_size)
            self.spelling = Recurrent(cell, character_size, character_size, bidirectional=True, backend=backend)
            self.width += 2 * character_size
        if table.trigrams is not None:
            self.trigrams = nn.EmbeddingBag(len(table.trigrams), trigram_size, mode="sum", padding_idx=0)
            self.width += trigram_size

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
        return torch.cat(parts, 2)

    def _spelt(self, batch: Batch) -> Tensor:
        """What both directions have read of each distinct word, (U, 2 * size)."""
        assert self.characters is not None and self.spelling is not None
        lengths = batch["character_lengths"]
        y, _ = self.spelling(self.characters(batch["characters"]), lengths=lengths)
        half = y.shape[2] // 2
        last = y[(lengths - 1).clamp(min=0), torch.arange(y.shape[1], device=y.device)]
        return torch.cat([last[:, :half], y[0, :, half:]], 1)

    def take_vectors(self, table: WordTable, vectors: Mapping[str, NDArray[np.float32]]) -> int:
        """Put pretrained vectors in the place of the words' own; how many words of the table have one."""
        first = len(table.words) - len(table.words.symbols)
        found = [(number, vectors[word]) for number, word in enumerate(table.words.symbols, first) if word in vectors]
        with torch.no_grad():
            for number, vector in found:
                self.words.weight[number] = torch.from_numpy(vector)
        return len(found)


def trigrams_of(word: str) -> list[str]:
    """The letter trigrams of a word between marks of its ends.

    >>> trigrams_of("cat")
    ['#ca', 'cat', 'at#']
    """
    marked = f"#{word}#"
    return [marked[start : start + 3] for start in range(max(1, len(marked) - 2))]


def read_vectors(path: str | Path, words: Iterable[str], size: int) -> dict[str, NDArray[np.float32]]:
    """The vectors of `words` in a text file, `word number number ...` a line (GloVe's form, or word2vec's with its first line).

    Raises DataError naming the line where a vector has not `size` numbers.
    """
    wanted, found = set(words), dict[str, NDArray[np.float32]]()
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *values = line.rstrip().split(" ")
                if number == 1 and len(values) == 1:
                    continue  # word2vec: how many, and how long
                if len(values) != size:
                    said = f"{path}, line {number} has a vector of {len(values)} numbers, and the words have {size}"
                    raise DataError(message(said, write=f"word_size={len(values)}"))
                if word in wanted:
                    found[word] = np.array(values, np.float32)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is no file of word vectors: {error}".split("\n")[0]) from None
    return found


def _most(counts: Mapping[str, int], minimum_count: int) -> Vocabulary:
    kept = (symbol for symbol, count in counts.items() if count >= minimum_count)
    return Vocabulary(sorted(kept, key=lambda symbol: (-counts[symbol], symbol)), level="words")


def _padded(rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(longest, rows), and the lengths (rows,)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    table = np.zeros((max(1, int(lengths.max(initial=0))), len(rows)), np.int64)
    for n, row in enumerate(rows):
        table[: len(row), n] = row
    return table, lengths
