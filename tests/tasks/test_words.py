"""A WordTable's batches: every word's letters, trigrams and shape, whatever was read before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recell import cells
from recell.data.vocabulary import UNKNOWN
from recell.tasks import Tagger, _words
from recell.tasks._words import WordFeatures, WordTable, shape_of, trigrams_of

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


def test_a_stream_of_new_words_is_spelt_without_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_words, "_KEPT", 30)
    words, trained = table(), {word for sentence in SENTENCES for word in sentence}
    stream = [[f"word{n}", "Zebra", f"x{n % 7}"] for n in range(200)]
    for start in range(0, 200, 4):
        part = stream[start : start + 4]
        words.encode([word for sentence in stream for word in sentence])  # reads them without spelling any
        expected, found = batch_of(table(), part), batch_of(words, part)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
        assert trained <= words._numbers.keys() and len(words._numbers) <= len(trained) + 30 + 4 * 3
        rows = (words._letters, words._threes, words._shape)
        assert {len(kept) for kept in rows} == {len(words._numbers)}
        assert all(kept._flat.nbytes + kept._ends.nbytes < 20_000 for kept in rows)


def test_what_training_met_once_teaches_the_unknown_one() -> None:
    torch.manual_seed(0)
    words = WordTable.learn([*SENTENCES, ["Zebra"]], minimum_count=1, lowercase=True, trigrams=True, shapes=True)
    assert "Z" in words.characters.symbols and "P" not in words.characters.symbols  # in Play, once
    features = WordFeatures(words, cells.get("GRU"), word_size=3, character_size=4, trigram_size=2, shape_size=2, unknown_rate=0,
                            backend="auto")  # fmt: skip
    vectors = [features.characters.weight, features.trigrams.weight, features.shapes.weight]
    assert not any(weight[UNKNOWN].any() for weight in vectors) and all(weight[UNKNOWN + 3 :].all() for weight in vectors)
    features(batch_of(words, SENTENCES)).sum().backward()
    assert all(weight.grad[UNKNOWN].any() for weight in vectors)


def test_a_letter_that_training_never_saw_is_no_noise() -> None:
    """No letter of the training words is rare: the unknown one is as it started."""
    task = Tagger(hidden_size=4, word_size=3, character_size=4, trigram_size=3, shape_size=2, epochs=2, threads=1,
                  validation_fraction=0).fit([["to", "ot"], ["too", "oto"]] * 4, [["A", "B"]] * 8, progress=False)  # fmt: skip
    features = task.network_.features
    assert task.codec_.table.characters.encode_tokens(["\u00e9"]).tolist() == [UNKNOWN]
    assert not features.characters.weight[UNKNOWN].any() and features.characters.weight[UNKNOWN + 3 :].all()


def test_a_word_is_spelt_by_what_both_directions_end_with() -> None:
    torch.manual_seed(0)
    words = table()
    features = WordFeatures(words, cells.get("GRU"), word_size=3, character_size=4, trigram_size=2, shape_size=2, unknown_rate=0,
                            backend="auto")  # fmt: skip
    made = batch_of(words, SENTENCES)
    found = features(made)[:, :, 3:11]  # behind the word's own vector
    for n, sentence in enumerate(SENTENCES):
        for t, word in enumerate(sentence):
            letters = features.characters(torch.from_numpy(words.characters.encode_tokens(list(word))))[:, None]
            _, state = features.spelling(letters)
            torch.testing.assert_close(found[t, n], state["h"][:, 0].flatten())
