"""Key terms: a small grammar is learnt, terms are ranked, the figures are what they say, bad input is refused."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch

import recell
from recell.data.key_terms import documents_of
from recell.data.tags import may_follow, spans, to_bio
from recell.errors import DataError, ModelError, RecellError
from recell.nn.crf import CRF
from recell.tasks import KeyTerms, _sequence
from recell.tasks._documents import parted
from recell.tasks._terms import counts, f1_at, figures, likely, table

SMALL: dict[str, Any] = {"hidden_size": 12, "word_size": 10, "character_size": 4, "shape_size": 3, "dropout": 0.1, "threads": 1,
                         "batch_size": 8, "epochs": 8, "learning_rate": 0.02, "unknown_rate": 0.1}  # fmt: skip
METHODS, STUFFS = ("laser annealing", "X-ray diffraction", "milling"), ("CO2", "iron oxide", "α-silica")
Labels = list[list[tuple[int, int, str]]]


def grammar(count: int, seed: int = 0) -> tuple[list[str], Labels]:
    """ "We used milling on CO2. It works.": what follows "used" is a Process, what follows "on" a Material."""
    rng = np.random.default_rng(seed)
    texts, labels = list[str](), list[list[tuple[int, int, str]]]()
    for _ in range(count):
        text, spans = "", list[tuple[int, int, str]]()
        for _ in range(rng.integers(1, 3)):
            method, stuff = METHODS[rng.integers(3)], STUFFS[rng.integers(3)]
            start = len(text) + len("We used ")
            spans += [(start, start + len(method), "Process")]
            start += len(method) + len(" on ")
            spans += [(start, start + len(stuff), "Material")]
            text += f"We used {method} on {stuff}. It works. "
        texts.append(text)
        labels.append(spans)
    return texts, labels


@pytest.fixture(scope="module")
def fitted() -> KeyTerms:
    return KeyTerms(**SMALL, members=2).fit(*grammar(100), progress=False)


def test_it_learns_where_terms_are_and_of_what_kind(fitted) -> None:
    found = fitted.evaluate(*grammar(40, seed=1))
    assert found["boundary_f1"] > 0.97 and found["typed_f1"] > 0.97 and found["f1_at_5"] > 0.97
    texts, labels = grammar(5, seed=2)
    terms = fitted.predict(texts)
    assert [sorted(term[:3] for term in row) for row in terms] == labels
    assert all(0 < term.score <= 1 for row in terms for term in row)
    assert all(a.score >= b.score for row in terms for a, b in itertools.pairwise(row))
    assert fitted.score(texts, labels) == 1


def test_saved_and_loaded_it_answers_the_same(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    again = recell.load(tmp_path / "m")
    texts, labels = grammar(20, seed=3)
    assert isinstance(again, KeyTerms) and again.predict(texts) == fitted.predict(texts)
    assert again.evaluate(texts, labels) == fitted.evaluate(texts, labels)


@pytest.mark.parametrize("options", [
    {"level": "paragraphs"}, {"scheme": "bio", "cell": "GRU"}, {"kinds": False, "shape_size": 0},
    {"character_size": 0, "trigram_size": 5, "plan": {"average": 0.9}},
])  # fmt: skip
def test_options(options, tmp_path) -> None:
    task = KeyTerms(**{**SMALL, **options}).fit(*grammar(120), progress=False)
    texts, labels = grammar(20, seed=1)
    assert task.evaluate(texts, labels)["boundary_f1"] > 0.9
    again = recell.load(task.save(tmp_path / "m") and tmp_path / "m")
    assert again.predict(texts) == task.predict(texts)
    if not task.kinds:
        assert {term.kind for row in task.predict(texts) for term in row} == {"term"}


def test_a_resumed_training_has_the_same_bits(tmp_path) -> None:
    data, steps = grammar(40), {"epochs": None, "plan": {"checkpoint_every": 4, "average": 0.9}}
    whole = KeyTerms(**{**SMALL, **steps, "steps": 12}).fit(*data, progress=False)
    KeyTerms(**{**SMALL, **steps, "steps": 12}).fit(*data, out=tmp_path / "m", progress=False)
    again = KeyTerms(**{**SMALL, **steps, "steps": 12}).fit(*data, out=tmp_path / "m", resume=True, progress=False)
    assert again.predict(data[0]) == whole.predict(data[0])


def test_sentences_hold_no_term_that_they_part() -> None:
    [document] = documents_of([("By U. Eco. Oak trees", [(3, 9, "A"), (11, 14, "A"), (11, 20, "B")])])
    [whole] = parted(document, "paragraphs", kinds=True, labelled=True)
    assert whole.tags == ("O", "B-A", "I-A", "I-A", "O", "B-B", "I-B")
    sentences = parted(document, "sentences", kinds=False, labelled=True)
    assert [s.words for s in sentences] == [("By", "U", "."), ("Eco", "."), ("Oak", "trees")]
    assert [s.tags for s in sentences] == [("O",) * 3, ("O",) * 2, ("B-term", "I-term")]
    asked = parted(document, "sentences", kinds=True, labelled=False)
    assert [s.words for s in asked] == [s.words for s in sentences] and asked[0].tags is None


@pytest.mark.parametrize(("scheme", "letters"), [("bio", "BI"), ("bioes", "BIES")])
def test_probabilities_of_spans_are_those_of_all_taggings(scheme, letters) -> None:
    torch.manual_seed(4)
    steps, tags = 4, ["O", *(f"{letter}-{kind}" for kind in "xy" for letter in letters)]
    crf, scores = CRF(len(tags), torch.from_numpy(may_follow(tags, scheme))), torch.randn(steps + 2, 1, len(tags))
    torch.nn.init.normal_(crf.transitions)
    lengths, paths = torch.tensor([steps]), torch.tensor(list(itertools.product(range(len(tags)), repeat=steps)))
    losses = crf(scores[:steps].expand(-1, len(paths), -1), paths.T, lengths.expand(len(paths))).detach()
    expected, kinds = dict[Any, float](), dict[Any, dict[str, float]]()
    for path, probability in zip(paths.tolist(), (-losses).exp().tolist(), strict=True):
        for start, end, kind in spans(to_bio([tags[number] for number in path])):
            expected[start, end] = expected.get((start, end), 0) + probability
            by_kind = kinds.setdefault((start, end), {})
            by_kind[kind] = by_kind.get(kind, 0) + probability
    marginals, moves = (tensor[:steps, 0].numpy() for tensor in crf.chain(scores, lengths))
    found = likely(marginals, moves, tags, 0.01)
    assert len(found) > 1 and found == sorted(found, key=lambda term: -term[1])
    for (start, end, kind), probability in found:
        assert probability == pytest.approx(expected[start, end], abs=3e-3)  # kinds that are negligible are left out
        assert kind == max(kinds[start, end], key=lambda kind: kinds[start, end][kind])
    taken = {place for (start, end, _), _ in found for place in range(start, end)}
    left = {place: value for place, value in expected.items() if value > 0.014 and taken.isdisjoint(range(*place))}
    assert not left and max(found, key=lambda term: term[1])[1] == pytest.approx(max(expected.values()), abs=3e-3)


def test_a_higher_threshold_gives_the_surest_alone(fitted) -> None:
    texts, _ = grammar(20, seed=5)
    was, low = fitted.network_.threshold, fitted.predict(texts)
    fitted.network_.threshold = 0.9
    high = fitted.predict(texts)
    fitted.network_.threshold = was
    assert high == [[term for term in row if term.score >= 0.9] for row in low]


def test_figures_count_every_marked_term() -> None:
    text = "deep neural networks and deep trees"
    [document] = documents_of([(text, [(0, 20, "A"), (5, 20, "B"), (25, 35, "A")])])
    truth = {(0, 20, "A"), (5, 20, "B"), (25, 35, "A")}
    got = figures(counts([document], [truth], [[(0, 20, "B"), (25, 29, "A")]]))
    assert got["precision"] == 0.5 and got["recall"] == pytest.approx(1 / 3) and got["boundary_f1"] == pytest.approx(0.4)
    assert got["typed_f1"] == 0 and got["f1_at_5"] == pytest.approx(0.4)


def test_f1_at_k_is_of_distinct_strings_in_lower_case() -> None:
    [document] = documents_of([("Deep trees, deep  trees, oaks, elms", [])])
    trees, again, oaks, elms = (0, 10, "A"), (12, 23, "A"), (25, 29, "A"), (31, 35, "A")
    assert f1_at(2, document, {again, oaks}, [trees, again, oaks, elms]) == 1
    assert f1_at(1, document, {again, oaks}, [trees, again, oaks, elms]) == pytest.approx(2 / 3)
    assert f1_at(3, document, set(), []) == 0 and f1_at(3, document, {oaks}, []) == 0


def test_a_text_without_terms_where_none_is_found_is_left_out_of_the_means() -> None:
    oaks = (0, 4, "A")
    documents = documents_of([("oaks", [oaks]), ("elms", []), ("ashes", []), ("none", [])])
    got = figures(counts(documents, [{oaks}, set(), set(), set()], [[oaks], [(0, 4, "A")], [], []]))
    assert got["f1_at_5"] == got["f1_at_10"] == 0.5 and got["boundary_f1"] == pytest.approx(2 / 3)
    assert set(figures(counts(documents[1:], [set()] * 3, [[]] * 3)).values()) == {0.0}
    rows = [line.split() for line in table({("A", "there"): 1}, ["A", "B"]).splitlines()]
    assert rows[1:] == [["A", "0.0000", "0.0000", "0.0000", "1"], ["B", "-", "-", "-", "0"]]


def test_report_counts_what_tags_cannot_hold(fitted) -> None:
    texts, labels = grammar(3)
    inner = [[*spans, (spans[0][0], spans[0][0] + 3, "Process")] for spans in labels]
    said = fitted.report(texts, inner)
    assert "Material" in said and "Process" in said
    assert f"{sum(map(len, inner))} marks, 3 moved to words' edges, 3 overlap others" in said


def test_report_is_by_kind_and_window_by_window_what_it_is_of_all(fitted, monkeypatch) -> None:
    texts, labels = grammar(30, seed=6)
    labels[3] = [*labels[3][1:], (0, 2, "Task")]  # a kind that training never saw, in place of one that is found
    whole = fitted.report(texts, labels)
    monkeypatch.setattr(_sequence, "WINDOW", 7)
    assert fitted.report(texts, labels) == whole
    rows = {row.split()[0]: row.split()[1:] for row in whole.splitlines()[1:4]}
    assert list(rows) == ["Material", "Process", "Task"] and rows["Task"] == ["0.0000", "0.0000", "0.0000", "1"]
    there = {kind: sum(span[2] == kind for spans in labels for span in spans) for kind in rows}
    assert {kind: int(row[3]) for kind, row in rows.items()} == there
    first, *table, _ = [row.split() for row in whole.split("\n\n")[1].splitlines()]
    assert first == ["true", "\\", "said", "Material", "Process", "Task", "(missed)"]
    assert {row[0]: sum(map(int, row[1:])) for row in table} == there
    found = [term for row in fitted.predict(texts) for term in row if term.kind == "Process"]
    assert sum(int(row[2]) for row in table) + int(whole.split("\n\n")[1].split()[-3]) == len(found)
    right = sum(term[:3] in spans for row, spans in zip(fitted.predict(texts), labels, strict=True) for term in row
                if term.kind == "Process")  # fmt: skip
    assert 0 < right < len(found)
    wanted = [right / len(found), right / there["Process"], 2 * right / (len(found) + there["Process"])]
    np.testing.assert_allclose([float(cell) for cell in rows["Process"][:3]], wanted, atol=6e-5)
    with pytest.raises(DataError, match="came no example"):
        fitted.report([], [])


def test_score_is_boundary_f1_and_counts_a_kind_never_seen_by_its_place(fitted) -> None:
    texts, labels = grammar(30, seed=7)
    assert fitted.score(texts, labels) == fitted.evaluate(texts, labels)["boundary_f1"]
    renamed = [[(start, end, "Task") for start, end, _ in spans] for spans in labels]
    assert fitted.score(texts, renamed) == fitted.score(texts, labels) > 0.97
    halved = [spans[:1] for spans in labels]  # each text's first term alone is marked: the others found are wrong
    found = sum(map(len, fitted.predict(texts)))
    right = sum(span[:2] in {term[:2] for term in row} for row, [span] in zip(fitted.predict(texts), halved, strict=True))
    assert fitted.score(texts, halved) == pytest.approx(2 * right / (found + len(texts)))


def test_the_part_held_out_chooses_the_step_and_holds_no_kind_of_its_own() -> None:
    texts, labels = grammar(20)
    labels[4] = [(*labels[4][0][:2], "Rare")]
    for seed in range(4):
        task = KeyTerms(**{**SMALL, "epochs": 2, "seed": seed}, validation_fraction=0.9).fit(texts, labels, progress=False)
        assert task.codec_.known() == ["Material", "Process", "Rare"]
    split = KeyTerms(validation_fraction=0.25, seed=3)._split(documents_of(texts, labels), None)
    assert [len(part) for part in split] == [15, 5] and len({id(document) for part in split for document in part}) == 20
    task = KeyTerms(**{**SMALL, "epochs": 3}).fit(texts, labels, validation=grammar(30, seed=8), progress=False)
    seen = [record["validation"]["boundary_f1"] for record in task.history_ if "validation" in record]
    assert len(seen) == 3 and task.score(*grammar(30, seed=8)) == max(seen) > 0
    with pytest.raises(DataError, match="text 1: training never saw the kind 'Task'"):
        KeyTerms(**SMALL).fit(texts, labels, validation=(texts[:1], [[(0, 2, "Task")]]), progress=False)


def test_bad_input(fitted) -> None:
    texts, labels = grammar(4)
    with pytest.raises(DataError, match="text 1: training never saw the kind 'Task'; write Material or Process, or"):
        fitted.evaluate(texts[:1], [[(0, 2, "Task")]])
    with pytest.raises(DataError, match="no term is marked"):
        KeyTerms(**SMALL).fit(texts, [[] for _ in texts], progress=False)
    with pytest.raises(RecellError, match="level"):
        KeyTerms(**{**SMALL, "level": "words"}).fit(texts, labels, progress=False)
    with pytest.raises(RecellError, match="scheme"):
        KeyTerms(**{**SMALL, "scheme": "plain"}).fit(texts, labels, progress=False)
    with pytest.raises(RecellError, match="members"):
        KeyTerms(**{**SMALL, "members": 0}).fit(texts, labels, progress=False)
    with pytest.raises(RecellError, match="threshold"):
        KeyTerms(**{**SMALL, "threshold": 1.0}).fit(texts, labels, progress=False)
    with pytest.raises(ModelError, match="not trained"):
        KeyTerms().predict(texts)


def test_the_command_line(tmp_path, capsys) -> None:
    from recell.cli.run import run

    texts, labels = grammar(30)
    data, out = tmp_path / "a.jsonl", tmp_path / "m"
    data.write_text("\n".join(json.dumps({"text": t, "spans": s}) for t, s in zip(texts, labels, strict=True)))
    asked = ["train", "key-terms", str(data), "--out", str(out), "--steps", "3", "--hidden-size", "8", "--quiet"]
    assert run([*asked, "--set", "members=2", "--set", "level=paragraphs"]) == 0
    assert run(["evaluate", str(out), str(data)]) == 0
    assert "boundary f1" in (said := capsys.readouterr().out) and "marks" in said and "Process" in said
    assert run(["predict", str(out), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["input"] == texts[0].strip()


def test_scikit_learn_searches() -> None:
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(KeyTerms(**{**SMALL, "epochs": 1, "validation_fraction": 0}), {"hidden_size": [4, 6]}, cv=2)
    texts, labels = grammar(20)
    search.fit(texts, labels, progress=False)
    assert search.best_params_["hidden_size"] in (4, 6)
