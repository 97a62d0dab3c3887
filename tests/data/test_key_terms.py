"""Key terms are read from JSON lines and lists, made to fit words, and every fault names its place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recell.data.key_terms import (
    Counts,
    DocumentFile,
    counted,
    cut,
    documents_of,
    marked,
    on_words,
    outermost,
    sentences_in,
    unmarked_of,
)
from recell.errors import DataError

TEXT = "Growth of thin α-Fe2O3 films (3.5 nm). We anneal them."


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in cut(text)]


def test_words_of_scientific_text() -> None:
    assert words(TEXT)[:10] == ["Growth", "of", "thin", "α", "-", "Fe2O3", "films", "(", "3.5", "nm"]
    assert words("βCD, SL(N,C)  [9,10] it's") == ["β", "CD", ",", "SL", "(", "N", ",", "C", ")", "[", "9,10", "]", "it", "'", "s"]
    assert sentences_in(TEXT, cut(TEXT)) == [(0, 12), (12, 16)]


def test_offsets_lose_nothing_but_white_space() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        text = "".join(rng.choice(list("ab1.,-( α\n\tÉ_"), 40))
        edges = cut(text)
        assert "".join(text[a:b] for a, b in edges) == "".join(text.split())
        assert all(a < b <= c for (a, b), (c, _) in zip(edges, edges[1:], strict=False))
        sentences = sentences_in(text, edges)
        assert [place for a, b in sentences for place in range(a, b)] == list(range(len(edges)))


def test_marks_move_outward_to_words() -> None:
    text = "deep networks learn"
    assert on_words([(2, 7, "A")], cut(text)) == [(0, 2, "A")]  # cuts both words
    assert on_words([(4, 14, "A")], cut(text)) == [(1, 2, "A")]  # white space at its ends
    [document] = documents_of([(text, [(2, 7, "A"), (14, 19, "B"), (14, 19, "A")])])
    assert marked(document, cut(text)) == {(0, 13, "A"), (14, 19, "B"), (14, 19, "A")}
    assert counted([document]) == Counts(spans=3, moved=1, lost=1)


def test_the_longest_of_overlapping_terms_wins() -> None:
    assert outermost([(1, 2, "A"), (0, 3, "B"), (3, 5, "A"), (4, 9, "B")]) == [(0, 3, "B"), (4, 9, "B")]
    assert outermost([(0, 2, "B"), (0, 2, "A")]) == [(0, 2, "B")]  # the first of equal ones


def test_json_lines(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"id": 1, "text": TEXT, "spans": [[0, 6, "Process"]]}, {"text": "no terms", "spans": []}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    source = DocumentFile(path)
    assert [(d.text, d.spans) for d in source] == [(TEXT, ((0, 6, "Process"),)), ("no terms", ())] and len(source) == 2
    assert [d.where for d in source] == [f"{path}, line 1", f"{path}, line 2"]
    path.write_text(json.dumps({"text": "asked"}))
    assert [d.spans for d in DocumentFile(path, labelled=False)] == [None]


@pytest.mark.parametrize(("line", "said"), [
    ("{", "line 2 is no JSON"), ('["text"]', "line 2 has no text"), ('{"text": 3, "spans": []}', "line 2 has no text"),
    ('{"text": "a b"}', "line 2 has no list of spans"), ('{"text": " ", "spans": []}', "line 2 is empty"),
    ('{"text": "a b", "spans": [[0, 4, "A"]]}', "line 2: the span 0 to 4 lies outside"),
    ('{"text": "a b", "spans": [[2, 2, "A"]]}', "lies outside"), ('{"text": "a b", "spans": [[0.0, 2, "A"]]}', "lies outside"),
    ('{"text": "a b", "spans": [[0, 1]]}', r"a span is \[START, END, KIND\]"),
    ('{"text": "a b", "spans": [[0, 1, ""]]}', "has no kind"), ('{"text": "a b", "spans": [[1, 2, "A"]]}', "white space alone"),
])  # fmt: skip
def test_faults_name_file_and_line(tmp_path, line, said) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "spans": []}\n' + line + "\n")
    with pytest.raises(DataError, match=said) as caught:
        list(DocumentFile(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_lists_and_their_faults(tmp_path) -> None:
    assert [d.spans for d in documents_of(["a b"], [[(0, 1, "A")]])] == [((0, 1, "A"),)]
    assert [d.text for d in unmarked_of(iter(["a", ("b", [])]))] == ["a", "b"]
    with pytest.raises(DataError, match="2 texts need as many"):
        documents_of(["a", "b"], [[]])
    with pytest.raises(DataError, match="text 1 has no terms"):
        documents_of(["a b"])
    with pytest.raises(DataError, match="a list of texts"):
        list(unmarked_of("a b"))
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no text"):
        list(DocumentFile(tmp_path / "b.jsonl"))
