"""Tagged sentences are read from every form, and every fault names its place."""

from __future__ import annotations

import numpy as np
import pytest

from recell.data.sentences import SentenceFile, sentences_of, unlabelled_of
from recell.errors import DataError

CONLL = """# a comment
-DOCSTART- -X- O

arrive VB O
Taipei NN B-to
East NN I-to

on IN O
"""


def plain(found):
    return [(s.words, s.tags, s.intent) for s in found]


def test_conll_columns(tmp_path) -> None:
    (tmp_path / "a.conll").write_text(CONLL)
    source = SentenceFile(tmp_path / "a.conll")
    expected = [(("arrive", "Taipei", "East"), ("O", "B-to", "I-to"), None), (("on",), ("O",), None)]
    assert plain(source) == expected == plain(source) and len(source) == 2
    assert [s.where for s in source] == [f"{tmp_path / 'a.conll'}, line 4", f"{tmp_path / 'a.conll'}, line 8"]
    assert plain(SentenceFile(tmp_path / "a.conll", labelled=False))[1] == (("on",), None, None)


def test_a_hash_is_a_word_within_a_sentence_and_a_comment_before_it(tmp_path) -> None:
    (tmp_path / "a.conll").write_text("# a comment\npay VB O\n# # B-money\n5 CD I-money\n\n# here too\non IN O\n")
    assert plain(SentenceFile(tmp_path / "a.conll")) == [
        (("pay", "#", "5"), ("O", "B-money", "I-money"), None), (("on",), ("O",), None)
    ]  # fmt: skip


def test_json_lines(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"words": ["to", "Rome"], "tags": ["O", "B-c"], "intent": "go"}\n\n{"words": ["on"], "tags": ["O"]}\n')
    assert plain(SentenceFile(path)) == [(("to", "Rome"), ("O", "B-c"), "go"), (("on",), ("O",), None)]
    assert plain(SentenceFile(path, labelled=False)) == [(("to", "Rome"), None, None), (("on",), None, None)]
    path.write_text('{"frames": [[1, 2.5], [3, 4], [5, 6]], "tags": [0, 1, 1]}\n')
    [one] = SentenceFile(path)
    np.testing.assert_array_equal(one.words, np.float32([[1, 2.5], [3, 4], [5, 6]]))
    assert one.tags == ("0", "1", "1") and one.whole and one.where == f"{path}, line 1"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("to O", "line 2 is no JSON"),
        ("[1]", "line 2 has neither words nor frames"),
        ('{"words": ["a"], "frames": [[1]], "tags": ["O"]}', "line 2 has both words and frames"),
        ('{"words": ["a", "b"], "tags": ["O"]}', "line 2 has 2 words and 1 tags"),
        ('{"words": ["a"]}', "line 2 has no list of tags"),
        ('{"words": ["a", "b"], "tags": "O", "intent": "go"}', "line 2 has no list of tags"),
        ('{"words": ["a"], "tags": ["O"], "intent": ["go"]}', "line 2: its intent is no text"),
        ('{"words": [], "tags": []}', "line 2 is empty"),
        ('{"frames": [], "tags": []}', "line 2 is empty"),
        ('{"words": ["a", "b"], "tags": ["O", "I-x"]}', "line 2, word 2 .'b'.: the tag 'I-x' cannot follow O"),
        ('{"words": [[1], [2]], "tags": ["O", "O"]}', "line 2: its words are none"),
        ('{"words": [1, 2], "tags": ["O", "O"]}', "line 2: its words are none"),
        ('{"frames": ["a", "b"], "tags": ["O", "O"]}', "line 2: its frames are none"),
        ('{"frames": null, "tags": ["O", "O"]}', "line 2: its frames are none"),
        ('{"frames": [[1, 2], [1]], "tags": ["a", "b"]}', "line 2 has frames of different widths"),
        ('{"frames": [[1, 2], [NaN, 2]], "tags": ["a", "b"]}', "line 2 has a value that is no number"),
        ('{"frames": [[1, 2], [null, 2]], "tags": ["a", "b"]}', "line 2 is no list of words"),
        ('{"frames": [[], []], "tags": ["a", "b"]}', "line 2: frames have a feature or more"),
    ],
)
def test_faults_in_json_lines(tmp_path, line, says) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"words": ["a"], "tags": ["O"]}\n' + line + "\n")
    with pytest.raises(DataError, match=says) as refused:
        list(SentenceFile(path))
    assert "\n" not in str(refused.value) and "bad.jsonl" in str(refused.value)
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no sentence; write a line for each"):
        list(SentenceFile(path))


def snips(folder, words: str, tags: str, intents: str):
    folder.mkdir()
    for name, text in (("seq.in", words), ("seq.out", tags), ("label", intents)):
        (folder / name).write_text(text)
    return folder


def test_snips(tmp_path) -> None:
    folder = snips(tmp_path / "s", "play it \nstop\n", "O O \nO\n", "Play\nStop\n")
    assert plain(SentenceFile(folder)) == [(("play", "it"), ("O", "O"), "Play"), (("stop",), ("O",), "Stop")]


def test_python_lists() -> None:
    words, tags = [["a", "b"], ["c"]], [["O", "B-x"], ["O"]]
    expected = [(("a", "b"), ("O", "B-x"), None), (("c",), ("O",), None)]
    assert plain(sentences_of(words, tags)) == expected == plain(sentences_of(list(zip(words, tags, strict=True))))
    with_intent = [(("a", "b"), ("O", "B-x"), "i"), (("c",), ("O",), "j")]
    assert plain(sentences_of(words, [(tags[0], "i"), (tags[1], "j")])) == with_intent
    assert plain(sentences_of(with_intent)) == with_intent
    assert [s.words for s in unlabelled_of(words)] == [("a", "b"), ("c",)]


def test_frames() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2))
    (one,) = sentences_of([x], [["a", "b", "a"]])
    assert one.words.dtype == np.float32 and one.words.shape == (3, 2) and len(one) == 3
    (same,) = unlabelled_of([x.tolist()])
    np.testing.assert_array_equal(same.words, one.words)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a O\nb\n", "line 2 has 1 column"),
        ("a O\n\nb X O\n", "line 3 has 3 column"),
        ("a\n", "a word and its tag"),
        ("a O\nb I-x\n", "line 2, word 2 .'b'.: the tag 'I-x' cannot follow O"),
        ("a B-x\nb I-y\n", "cannot follow B-x"),
        ("\n\n", "no sentence"),
    ],
)
def test_faults_in_columns(tmp_path, text, says) -> None:
    (tmp_path / "bad").write_text(text)
    with pytest.raises(DataError, match=says) as refused:
        list(SentenceFile(tmp_path / "bad"))
    assert "\n" not in str(refused.value) and "bad" in str(refused.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (("a b\n", "O\n", "x\n"), "2 words and 1 tags"),
        (("a\nb\n", "O\n", "x\ny\n"), "seq.out ends before line 2"),
        (("\n", "\n", "x\n"), "is empty"),
    ],
)
def test_faults_in_snips(tmp_path, files, says) -> None:
    with pytest.raises(DataError, match=says):
        list(SentenceFile(snips(tmp_path / "s", *files)))
    with pytest.raises(DataError, match=r"lacks seq\.in"):
        list(SentenceFile(tmp_path))


@pytest.mark.parametrize(
    ("data", "labels", "says"),
    [
        ("a b", None, "list of words"),
        ([["a"]], [["O"], ["O"]], "as many labels"),
        ([["a", "b"]], [["O"]], "1 tags"),
        (["a"], [["O"]], "no list of words"),
        ([["a", 3]], [["O", "O"]], "no text"),
        ([[]], [[]], "is empty"),
        ([["a"]], [["I-x"]], "cannot follow the start"),
        ([["a"]], ["O"], "list of tags"),
        ([["a"]], None, "has no tags"),
        ([np.array([[1.0, np.nan]])], [["a"]], "no number"),
        ([np.zeros(3)], [["a"] * 3], "shape"),
        ([[[1, 2], [1]]], [["a", "b"]], "different widths"),
        ([np.zeros((2, 0))], [["a", "b"]], "a feature or more"),
    ],
)
def test_faults_in_lists(data, labels, says) -> None:
    with pytest.raises(DataError, match=says) as refused:
        sentences_of(data, labels)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_text(tmp_path) -> None:
    (tmp_path / "x").write_bytes(b"a O\n\xff O\n")
    with pytest.raises(DataError, match="not UTF-8"):
        list(SentenceFile(tmp_path / "x"))
    with pytest.raises(DataError, match="does not exist"):
        list(SentenceFile(tmp_path / "none"))
