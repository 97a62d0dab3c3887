from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recell.data.labelled import LabelledFile, labelled_of, unlabelled_of
from recell.errors import DataError


def seen(source) -> list[tuple]:
    return [(example.value, example.label) for example in source]


def test_lines_with_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "reviews.tsv"
    path.write_text("good\ta fine film\nbad|short\ta bore\n", encoding="utf-8")
    assert seen(LabelledFile(path)) == [("a fine film", "good"), ("a bore", "bad|short")]
    assert seen(LabelledFile(path, separator="|")) == [("a fine film", ("good",)), ("a bore", ("bad", "short"))]
    known = {"labelled": False, "classes": ["good", "bad", "short"]}
    assert seen(LabelledFile(path, **known, separator="|")) == [("a fine film", None), ("a bore", None)]
    assert seen(LabelledFile(path, **known)) == [("a fine film", None), ("bad|short\ta bore", None)]  # no class of this name
    assert seen(LabelledFile(path, labelled=False)) == [("good\ta fine film", None), ("bad|short\ta bore", None)]
    assert len(LabelledFile(path)) == 2
    path.write_text("a line\nanother\n", encoding="utf-8")
    assert seen(LabelledFile(path, labelled=False)) == [("a line", None), ("another", None)]
    for text, line in (("a line\nanother\n", 1), ("good\tfine\n\tgood\n", 2), ("good\tfine\n \tgood\n", 2)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=f"line {line} has no label"):
            list(LabelledFile(path))


def test_a_file_for_each_class(tmp_path: Path) -> None:
    for name, text in (("rt.neg", "a bore\n"), ("rt.pos", "fine\nfun\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert seen(LabelledFile(tmp_path)) == [("a bore", "neg"), ("fine", "pos"), ("fun", "pos")]
    (tmp_path / "rt.neg").rename(tmp_path / "sad.txt")
    assert [label for _, label in seen(LabelledFile(tmp_path))] == ["rt", "rt", "sad"]


def test_texts_and_labels_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "seq.in").write_text("play it\nrain ?\n", encoding="utf-8")
    (tmp_path / "label").write_text("music\nweather\n", encoding="utf-8")
    assert seen(LabelledFile(tmp_path)) == [("play it", "music"), ("rain ?", "weather")]
    for labels in ("music\n", "music\nweather\nmusic\n"):
        (tmp_path / "label").write_text(labels, encoding="utf-8")
        with pytest.raises(DataError, match="line each"):
            list(LabelledFile(tmp_path))


@pytest.mark.parametrize("form", ["tabbed", "side by side", "folder"])
def test_what_is_no_utf8_is_refused_or_replaced(form: str, tmp_path: Path) -> None:
    (tmp_path / "label").write_text("x\nx\n", encoding="utf-8")
    path = tmp_path / {"tabbed": "latin.tsv", "side by side": "seq.in", "folder": "x.txt"}[form]
    path.write_bytes(b"x\tcaf\xe9\nx\tbar\n" if form == "tabbed" else b"caf\xe9\nbar\n")
    if form == "folder":
        (tmp_path / "label").unlink()
    data = path if form == "tabbed" else tmp_path
    assert seen(LabelledFile(data, encoding_errors="replace")) == [("caf\ufffd", "x"), ("bar", "x")]
    assert len(LabelledFile(data, labelled=False, encoding_errors="replace")) == 2
    with pytest.raises(DataError, match="is not UTF-8: byte 0xe9 at offset .*, or write encoding_errors='replace'"):
        list(LabelledFile(data))
    path.write_text("x\tbar\n", encoding="utf-16")
    with pytest.raises(DataError, match="is UTF-16"):
        list(LabelledFile(data, encoding_errors="replace"))


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_text("@dimensions 1\n@classLabel true\n@data\n1,2:a\n3:b\n", encoding="utf-8")
    source = LabelledFile(path)
    for _ in range(2):
        assert [(value.tolist(), label) for value, label in seen(source)] == [([[1], [2]], "a"), ([[3]], "b")]


def test_lists_and_arrays() -> None:
    assert seen(labelled_of(["a", "b"], np.array([0, 1]))) == [("a", 0), ("b", 1)]
    assert seen(labelled_of([("a", "x"), ("b", ["y", "x", "y"])])) == [("a", "x"), ("b", ("y", "x"))]
    images = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    rows = labelled_of(images, ["x", {"z", "y"}])
    assert rows[1].label == ("y", "z") and np.array_equal(rows[0].value, images[0])
    matrix = labelled_of(["a", "b"], np.array([[1, 0, 1], [0, 0, 0]]))
    assert [(row.label, row.columns) for row in matrix] == [((0, 2), 3), ((), 3)]
    assert [x.shape for x, _ in seen(unlabelled_of([np.ones((2, 3)), [[1, 2, 3]]]))] == [(2, 3), (1, 3)]
    assert [value for value, _ in seen(unlabelled_of([("a", "x")]))] == ["a"]


@pytest.mark.parametrize(
    ("data", "labels", "said"),
    [
        (["a", " "], [0, 1], "example 2 is an empty text"),
        ([np.ones((2, 1)), np.full((2, 1), np.nan)], [0, 1], "example 2 has a value that is no number"),
        ([np.ones((0, 1))], [0], "without a step"),
        ([np.ones(3)], [0], "neither a text nor a series"),
        (np.ones((4, 3)), [0] * 4, r"array \(N, T, C\)"),
        ([[[1, 2], [3]]], [0], "different widths"),
        (["a"], [0, 1], "as many labels"),
        (["a"], [None], "has no label"),
        (["a"], [[1, 0, 1]], "a label twice"),
        (["a"], np.array([[1, 2]]), "of 0 and 1"),
        (["a"], np.zeros((1, 2, 2)), "of 0 and 1"),
        (["a"], [0.5], "has no label"),
        ("a text", ["x"], "a list of texts"),
        (["a text"], None, "has no label"),
    ],
)
def test_every_fault_names_its_place(data, labels, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        labelled_of(data, labels)
    assert "\n" not in str(refused.value)


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="holds no example"):
        list(LabelledFile(tmp_path / "folder"))
    with pytest.raises(DataError, match="does not exist"):
        list(LabelledFile(tmp_path / "none.tsv"))
    with pytest.raises(DataError, match="does not exist"):
        list(LabelledFile(tmp_path / "none.ts"))
    (tmp_path / "latin.tsv").write_bytes(b"x\tcaf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        list(LabelledFile(tmp_path / "latin.tsv"))
