"""Key terms of scientific paragraphs: SemEval-2017 task 10, learnt from 350 paragraphs, measured on its 50 of the dev part.

A tenth of the training part, drawn by the seed, is held out to choose the best epoch; options were chosen by cross-validation
within the training part. Words, shapes, characters: no outside vectors. Boundary F1 is of all marked terms: those within others,
which tags cannot hold, count as missed. Beside it stands a CRF of usual features (python-crfsuite), on the same words.

    python examples/key_terms.py [--data FOLDER] [--epochs 14] [--seeds 0 1 2] [--out FOLDER]

FOLDER holds key_terms/semeval2017.{train,dev}.jsonl; without --data, the environment's RECELL_DATA. About 5 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from on_data import arguments_of, data_parser, spread

from recell.data.key_terms import Document, DocumentFile, counted, cut, marked, on_words, outermost
from recell.data.tags import of_spans, spans
from recell.tasks import KeyTerms

SHOWN = ("boundary_f1", "precision", "recall", "typed_f1", "f1_at_5", "f1_at_10")
AT_LEAST = 0.42


def main() -> None:
    """Train once for each seed; print every figure, their means and spreads, and the feature CRF's."""
    arguments = parsed()
    folder = Path(arguments.data) / "key_terms"
    train, dev = (list(DocumentFile(folder / f"semeval2017.{part}.jsonl"))[: arguments.most] for part in ("train", "dev"))
    for name, documents in (("train", train), ("dev", dev)):
        counts = counted(documents)
        print(f"{name}: {len(documents)} paragraphs, {counts.spans} terms, {counts.moved} moved to words' edges, "
              f"{counts.lost} overlap others")  # fmt: skip
    print(f"{'':30}{'boundary F1':>12}{'precision':>11}{'recall':>8}{'typed F1':>10}{'F1@5':>7}{'F1@10':>7}{'seconds':>9}")
    rows = []
    for seed in arguments.seeds:
        began = time.perf_counter()
        task = model(arguments, seed)
        out = None if arguments.out is None else arguments.out / str(seed)
        figures = task.fit(train, out=out, progress=arguments.progress).evaluate(dev)
        rows.append([figures[name] for name in SHOWN])
        show(f"LSTM, seed {seed}", rows[-1], time.perf_counter() - began)
    table = np.array(rows)
    show(f"mean of {len(rows)}", table.mean(0).tolist())
    show("spread (sample deviation)", spread(rows).tolist())
    began = time.perf_counter()
    show("feature CRF", feature_crf(train, dev), time.perf_counter() - began)
    show("at least", [AT_LEAST])


def model(arguments: argparse.Namespace, seed: int) -> KeyTerms:
    """Options chosen by cross-validation within the training part."""
    return KeyTerms(epochs=arguments.epochs, seed=seed, threads=arguments.threads, learning_rate=6e-3, plan={"average": 0.98})


def feature_crf(train: list[Document], dev: list[Document]) -> list[float]:
    """Boundary F1, precision, recall and typed F1 of a CRF of the word and its neighbours, their shapes, ends and beginnings."""
    from sklearn_crfsuite import CRF

    learnt = CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100, all_possible_transitions=True)
    learnt.fit([features(words_of(document)) for document in train], [tags_of(document) for document in train])
    answers = learnt.predict([features(words_of(document)) for document in dev])
    found = [set(in_characters(document, tags)) for document, tags in zip(dev, answers, strict=True)]
    truth = [marked(document, cut(document.text)) for document in dev]
    boundary, precision, recall = f1([{span[:2] for span in row} for row in truth], [{span[:2] for span in row} for row in found])
    return [boundary, precision, recall, f1(truth, found)[0]]


def f1(truth: list[set[Any]], found: list[set[Any]]) -> tuple[float, float, float]:
    """F1, precision and recall over all paragraphs together."""
    right, there, came = (sum(map(len, sets)) for sets in ([a & b for a, b in zip(truth, found, strict=True)], truth, found))
    return 2 * right / (there + came), right / came, right / there


def words_of(document: Document) -> list[str]:
    return [document.text[start:end] for start, end in cut(document.text)]


def tags_of(document: Document) -> list[str]:
    words = cut(document.text)
    return of_spans(outermost(on_words(document.spans or (), words)), len(words))


def in_characters(document: Document, tags: list[str]) -> Iterator[tuple[int, int, str]]:
    words = cut(document.text)
    return ((words[start][0], words[end - 1][1], kind) for start, end, kind in spans(tags))


def features(words: list[str]) -> list[dict[str, str]]:
    """Of each word, of the two before and of the two after."""
    alone = [{"word": word.lower(), "shape": shape(word), "first": word[:3].lower(),
              **{f"last {n}": word[-n:].lower() for n in (2, 3, 4)}} for word in words]  # fmt: skip
    near = [(place, by) for place, by in itertools.product(range(len(words)), (-2, -1, 0, 1, 2)) if 0 <= place + by < len(words)]
    made: list[dict[str, str]] = [{} for _ in words]
    for place, by in near:
        made[place] |= {f"{by} {name}": value for name, value in alone[place + by].items()}
    return made


def shape(word: str) -> str:
    """Capitals, small letters, figures and signs, runs of one sort written once."""
    sorts = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return "".join(sort for sort, _ in itertools.groupby(sorts))


def show(name: str, figures: list[float], seconds: float | None = None) -> None:
    cells = [f"{100 * value:.2f}" for value in figures] + ["-"] * (len(SHOWN) - len(figures))
    line = "".join(f"{text:>{width}}" for text, width in zip(cells, (12, 11, 8, 10, 7, 7), strict=True))
    print(f"{name:30}{line}{'' if seconds is None else f'{seconds:9.0f}'}", flush=True)


def parsed() -> argparse.Namespace:
    parser = data_parser("Learn SemEval-2017's key terms; measure them on its dev part.", "key_terms", epochs=14, threads=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training for each (default 0 1 2)")
    parser.add_argument("--most", type=int, help="read no more paragraphs than these of each part, for a short look")
    parser.add_argument("--progress", action="store_true", help="show the training loop's progress")
    parser.add_argument("--out", type=Path, help="folder for the models' checkpoints, one for each seed")
    return arguments_of(parser)


if __name__ == "__main__":
    main()
