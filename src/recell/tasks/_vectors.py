"""Pretrained vectors of words, for the tasks that read words: read from a text file, and put in the place of fresh ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recell.data.numbers import check_finite
from recell.data.vocabulary import Vocabulary
from recell.errors import DataError, message

Vectors = Mapping[str, NDArray[np.float32]]


class VectorOptions:
    """A task's option `vectors`, the name of a text file of word vectors. Those of words that training does not hold are not
    read: such words are unknown."""

    vectors: str | None
    _vectors: Vectors = {}  # between reading them and building the network

    def _learn_vectors(self, words: Iterable[str], option: str) -> Vectors:
        """The vectors of those words that have one; `option` is the task's option that says how long they are."""
        self._vectors = {}
        if self.vectors is not None:
            self._vectors = read_vectors(self.vectors, words, getattr(self, option), option)
        return self._vectors


def put_vectors(embedding: nn.Embedding, vocabulary: Vocabulary, vectors: Vectors) -> None:
    """Put pretrained vectors in the place of the words' own."""
    first = len(vocabulary) - len(vocabulary.symbols)
    with torch.no_grad():
        for number, word in enumerate(vocabulary.symbols, first):
            if word in vectors:
                embedding.weight[number] = torch.from_numpy(vectors[word])


def read_vectors(path: str | Path, words: Iterable[str], size: int, option: str) -> dict[str, NDArray[np.float32]]:
    """The vectors of `words` in a text file, `word number number ...` a line (GloVe's form, or word2vec's with its first line).

    The last `size` numbers of a line are the vector, what stands before them the word: GloVe's largest file has words with
    spaces in them, `. . .`. Raises DataError naming the line where there are fewer; and where there are more numbers and no line
    before has shown that vectors are of this length. `option` is the option that says the size.
    """
    wanted, found, proven = set(words), dict[str, NDArray[np.float32]](), False
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                parts = line.rstrip().split(" ")
                if number == 1 and len(parts) == 2:
                    proven = parts[1] == str(size)
                    continue  # word2vec: how many, and how long
                length = len(parts) - 1 if len(parts) <= size + 1 else size if proven else _last_numbers(parts)
                if length != size:
                    said = f"{path}, line {number} has a vector of {length} numbers, and the words have {size}"
                    write = f"{option}={length}" if length else "a word and its numbers, a space between them"
                    raise DataError(message(said, write=write))
                proven = True
                if (word := " ".join(parts[:-size])) in wanted:
                    found[word] = _numbers(parts[-size:], f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no file of word vectors: {error}".split("\n")[0]) from None
    return found


def _last_numbers(parts: Sequence[str]) -> int:
    """How many numbers a line ends in, its first part aside: that is of the word."""
    return sum(1 for _ in itertools.takewhile(_is_number, reversed(parts[1:])))


def _is_number(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _numbers(values: list[str], where: str) -> NDArray[np.float32]:
    try:
        found = np.array(values, np.float64)
    except ValueError as error:
        raise DataError(message(f"{where} holds what is no number", came=f"{error}".rpartition(": ")[2])) from None
    check_finite(found, where)
    return found.astype(np.float32)
