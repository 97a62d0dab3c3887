"""A WordTable's batches: every word's letters, trigrams and shape, whatever was read before."""

from __future__ import annotations

import numpy as np
import torch

from recell.tasks._words import WordTable, shape_of, trigrams_of

SENTENCES = [["Play", "the", "song", "the", "2nd"], ["the", "Zebra"], ["a", "song"]]


def table() -> WordTable:
    return WordTable.learn(SENTENCES, minimum_count=1, lowercase=True, trigrams=True, shapes=True)


def batch_of(words: WordTable, sentences: list[list[str]]) -> dict[str, torch.Tensor]:
    return words.batch([(sentence, words.encode(sentence)) for sentence in sentences])


def test_each_word_has_its_own_spelling() -> None:
    words = table()
    made = batch_of(words, SENTENCES)
    assert words.trigrams is not None and words.shapes is not None
    assert made["lengths"].tolist() == [5, 2, 2] and made["words"].shape == made["which"].shape == (5, 3)
    assert made["character_lengths"].tolist() == sorted(made["character_lengths"].tolist(), reverse=True)  # longest first
    assert len(made["character_lengths"]) == 6
    for n, sentence in enumerate(SENTENCES):
        assert made["words"][: len(sentence), n].tolist() == words.encode(sentence).tolist()
        for t, word in enumerate(sentence):
            place, threes = int(made["which"][t, n]), words.trigrams.encode_tokens(trigrams_of(word))
            assert made["character_lengths"][place] == len(word)
            assert made["characters"][: len(word), place].tolist() == words.characters.encode_tokens(list(word)).tolist()
            assert not made["characters"][len(word) :, place].any()
            assert made["trigrams"][place, : len(threes)].tolist() == threes.tolist()
            assert made["shapes"][place] == words.shapes.encode_tokens([shape_of(word)])[0]


def test_a_batch_does_not_depend_on_what_was_read_before() -> None:
    fresh, used = table(), table()
    used.encode(["another", "Zebra", "zoo", "the"])
    expected, found = batch_of(fresh, SENTENCES), batch_of(used, SENTENCES)
    assert all(np.array_equal(expected[name], found[name]) for name in expected) and expected.keys() == found.keys()
