from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recell.data.vocabulary import END, PADDING, SPECIAL, START, UNKNOWN, Vocabulary, tokenize
from recell.errors import DataError, ModelError


@given(st.text())
def test_characters_of_any_language_come_back(text: str) -> None:
    vocabulary = Vocabulary.of_text(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_composed_and_decomposed_characters_stay_apart() -> None:
    vocabulary = Vocabulary.of_text("é e\u0301")
    assert vocabulary.encode("é").size == 1
    assert vocabulary.encode("e\u0301").size == 2


def test_frequent_symbols_come_first_and_ties_go_by_code_point() -> None:
    assert Vocabulary.of_text("b语aab语b").symbols == ("b", "a", "语")


def test_numbers_of_the_special_entries_and_symbols_that_look_like_them() -> None:
    vocabulary = Vocabulary.of_tokens(["<start>", "<start>", "x"])
    assert (PADDING, UNKNOWN, START, END) == (0, 1, 2, 3)
    assert vocabulary.encode_tokens(["<start>", "x", "y"]).tolist() == [4, 5, UNKNOWN]
    assert len(vocabulary) == len(SPECIAL) + 2
    assert vocabulary.decode([START, 5, UNKNOWN, END, PADDING]) == "x \ufffd"


def test_minimum_count_sends_rare_symbols_to_unknown() -> None:
    vocabulary = Vocabulary.of_text("aaab", minimum_count=2)
    assert vocabulary.encode("ab").tolist() == [4, UNKNOWN]
    assert "a" in vocabulary and "b" not in vocabulary


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop, well-known x2!", ["Don't", "stop", ",", "well-known", "x2", "!"]),
        ("我爱你。 Yes\nno", ["我", "爱", "你", "。", "Yes", "\n", "no"]),
        ("für été", ["für", "été"]),
    ],
)
def test_words(text: str, tokens: list[str]) -> None:
    assert list(tokenize(text, "words")) == tokens


@pytest.mark.parametrize("text", ["He said (well) no, then left.\nNext day: rain!", "我爱你。你好", "a “b c” d"])
def test_words_are_joined_as_print_has_them(text: str) -> None:
    vocabulary = Vocabulary.of_text(text, level="words")
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_a_long_text_is_encoded_as_its_characters_one_by_one() -> None:
    generator = random.Random(3)
    text = "".join(generator.choice("abcdé語\U0001f600") for _ in range(5000))
    vocabulary = Vocabulary.of_text(text[:2500])
    one_by_one = [vocabulary.encode_tokens([character])[0] for character in text]
    np.testing.assert_array_equal(vocabulary.encode(text), one_by_one)


@given(st.text())
def test_a_saved_vocabulary_is_the_same(text: str) -> None:
    vocabulary = Vocabulary.of_text(text)
    assert Vocabulary.from_json(json.loads(vocabulary.to_bytes())) == vocabulary


def test_save_and_load(tmp_path) -> None:
    vocabulary = Vocabulary.of_text("one two two", level="words")
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 1}', '{"format": 2, "level": "words", "symbols": []}',
     '{"format": 1, "level": "letters", "symbols": []}', '{"format": 1, "level": "words", "symbols": [1]}',
     '{"format": 1, "level": "words", "symbols": ["a", "a"]}'],
)  # fmt: skip
def test_a_damaged_vocabulary_is_refused_in_one_line(tmp_path, content: str) -> None:
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(ModelError, match=r"v\.json") as caught:
        Vocabulary.load(tmp_path / "v.json")
    assert "\n" not in str(caught.value)


def test_a_missing_vocabulary_and_an_unknown_level_are_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match="missing"):
        Vocabulary.load(tmp_path / "v.json")
    with pytest.raises(DataError, match="'characters' or 'words'"):
        Vocabulary.of_text("a", level="letters")  # pyright: ignore[reportArgumentType]
