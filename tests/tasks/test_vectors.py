"""Pretrained vectors stand where fresh ones would, in every task that reads words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell.cli.run import run
from recell.data.vocabulary import UNKNOWN
from recell.errors import DataError, RecellError
from recell.tasks import Classifier, KeyTerms, Tagger, load
from recell.tasks._vectors import read_vectors

TEXTS = ["Rome is far", "leave Rome now", "leave Kiel", "go on"] * 3
WIDTH = 5
BRIEF: dict[str, Any] = {"steps": 1, "learning_rate": 1e-9, "hidden_size": 4, "minimum_count": 2, "threads": 1}


def written(folder: Path, first: str = "") -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    vectors = {word: rng.normal(size=WIDTH).round(3).astype(np.float32) for word in ("rome", "far", "elsewhere", "go")}
    path = folder / "vectors.txt"
    path.write_text(first + "".join(f"{word} {' '.join(map(str, vector))}\n" for word, vector in vectors.items()))
    return path, vectors


def fitted(task: type, path: Path, **options: Any) -> tuple[Any, Any, Any]:
    """The task, its vocabulary, its words' vectors."""
    if task is Classifier:
        made = task(**BRIEF, embedding_size=WIDTH, vectors=str(path), **options)
        made.fit(TEXTS, ["a", "b", "b", "a"] * 3, progress=False)
        return made, made.codec_.reader.vocabulary, made.network_.features.embedding
    made = task(**BRIEF, word_size=WIDTH, character_size=0, vectors=str(path), **options)
    if task is Tagger:
        made.fit([text.split() for text in TEXTS], [["B-x"] + ["O"] * text.count(" ") for text in TEXTS], progress=False)
        return made, made.codec_.table.words, made.network_.features.words
    made.fit(TEXTS, [[(0, text.index(" "), "x")] for text in TEXTS], progress=False)
    return made, made.codec_.tagging.table.words, made.network_.members[0].features.words


@pytest.mark.parametrize("first", ["", f"4 {WIDTH}\n"], ids=["GloVe", "word2vec"])
@pytest.mark.parametrize("task", [Tagger, KeyTerms, Classifier])
def test_words_begin_with_their_vectors(task: type, first: str, tmp_path: Path) -> None:
    path, vectors = written(tmp_path, first)
    model, vocabulary, embedding = fitted(task, path)
    weight = embedding.weight.detach().numpy()
    for word in ("rome", "far", "go"):  # a word with a vector is kept, however rare
        np.testing.assert_allclose(weight[vocabulary.encode_tokens([word])[0]], vectors[word], rtol=1e-4)
    assert "elsewhere" not in vocabulary and vocabulary.encode_tokens(["elsewhere"]).tolist() == [UNKNOWN]  # as the docs say
    asked = [text.split() for text in TEXTS] if task is Tagger else TEXTS
    answers = model.predict(asked)
    path.unlink()  # a saved model needs the file no more
    assert load(model.save(tmp_path / "m") and tmp_path / "m").predict(asked) == answers


def test_a_rare_word_without_a_vector_is_unknown(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    texts = [*TEXTS, "once elsewhere"]
    model = Classifier(**BRIEF, embedding_size=WIDTH, vectors=str(path), validation_fraction=0)
    words = model.fit(texts, ["a", "b"] * 6 + ["a"], progress=False).codec_.reader.vocabulary
    assert "elsewhere" in words and "once" not in words


@pytest.mark.parametrize(("task", "option"), [(Tagger, "word_size"), (KeyTerms, "word_size"), (Classifier, "embedding_size")])
def test_vectors_of_another_length_name_the_option(task: type, option: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("rome 1 2 3\n")
    with pytest.raises(DataError, match=rf"line 1 has a vector of 3 numbers, .*; write {option}=3"):
        fitted(task, path)


def test_vectors_are_of_words(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    with pytest.raises(RecellError, match="vectors are of words; came level='characters'; write level='words'"):
        fitted(Classifier, path, level="characters")
    with pytest.raises(RecellError, match="vectors are of words; came series"):
        Classifier(vectors=str(path)).fit([np.ones((3, 2)), np.zeros((4, 2))] * 4, ["a", "b"] * 4, progress=False)
    with pytest.raises(RecellError, match="vectors are of words; came frames"):
        Tagger(vectors=str(path)).fit([np.ones((3, 2))] * 4, [["a", "b", "a"]] * 4, progress=False)
    with pytest.raises(DataError, match="cannot be read"):
        fitted(Classifier, tmp_path / "none.txt")
    for wrong, said in (("x", "holds what is no number; came 'x'"), ("nan", "value that is no number"), ("1e39", "too large")):
        (tmp_path / "odd.txt").write_text(f"oslo 1 2 3 4 5\nrome 1 2 {wrong} 4 5\n")
        with pytest.raises(DataError, match=rf"odd\.txt, line 2 .*{said}"):
            read_vectors(tmp_path / "odd.txt", ["rome"], 5, "word_size")
    (tmp_path / "odd.txt").write_bytes(b"r\xffme 1 2 3 4 5\n")
    with pytest.raises(DataError, match="is no file of word vectors"):
        read_vectors(tmp_path / "odd.txt", ["rome"], 5, "word_size")


@pytest.mark.parametrize("first", [". . . 1 2 3\nrome 4 5 6\n", "rome 4 5 6\n. . . 1 2 3\n", "2 3\n. . . 1 2 3 \nrome 4 5 6\n"])
def test_words_with_spaces_are_those_of_the_largest_glove(first: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(first + "at 4you 7 8 9\nroute 66 1 1 1\n")
    found = read_vectors(path, [". . .", "rome", "at 4you", "route 66"], 3, "word_size")
    assert {word: vector.tolist() for word, vector in found.items()} == {
        ". . .": [1, 2, 3], "rome": [4, 5, 6], "at 4you": [7, 8, 9], "route 66": [1, 1, 1]}  # fmt: skip
    for wrong, length in (("rome 1 2 3 4 5\n", 5), (". . . 1 2 3 4\n", 4), (". . . 1 2\n", 2), ("rome 1 2\n", 2)):
        path.write_text(wrong)
        with pytest.raises(DataError, match=rf"line 1 has a vector of {length} numbers, .* 3; write word_size={length}"):
            read_vectors(path, ["rome"], 3, "word_size")


def test_the_command_line_takes_them(tmp_path: Path) -> None:
    path, vectors = written(tmp_path)
    (tmp_path / "data.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in zip(TEXTS, "abba" * 3, strict=True)))
    ran = run(["train", "classifier", str(tmp_path / "data.tsv"), "--out", str(tmp_path / "m"), "--steps", "1", "--quiet",
               "--learning-rate", "1e-9", "--set", f"embedding_size={WIDTH}", "--set", f"vectors={path}"])  # fmt: skip
    model: Any = load(tmp_path / "m")
    place = model.codec_.reader.vocabulary.encode_tokens(["rome"])[0]
    np.testing.assert_allclose(model.network_.features.embedding.weight[place].detach(), vectors["rome"], rtol=1e-4)
    assert not ran
