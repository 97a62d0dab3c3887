"""examples/snips.py on a few sentences: a row for each seed, their mean and spread, nothing measured that was learnt from."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell.tasks import Tagger

SCRIPT = Path(__file__).parents[2] / "examples" / "snips.py"
DATA = os.environ.get("RECELL_DATA")


def watched(monkeypatch: pytest.MonkeyPatch, method: str) -> list[tuple[Any, ...]]:
    """The arguments of every call of a Tagger's method, and what it gave."""
    calls, real = list[tuple[Any, ...]](), getattr(Tagger, method)

    def call(self: Tagger, *arguments: Any, **named: Any) -> Any:
        calls.append((*arguments, named, real(self, *arguments, **named)))
        return calls[-1][-1]

    monkeypatch.setattr(Tagger, method, call)
    return calls


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="RECELL_DATA is not set: SNIPS's sentences are not here")
def test_rows_mean_and_spread_of_fresh_sentences(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(SCRIPT), "--data", str(DATA), "--epochs", "6", "--seeds", "0", "1", "--sentences", "300", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as python itself does
    trained, measured = watched(monkeypatch, "fit"), watched(monkeypatch, "evaluate")
    shown = runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()[1:]
    names = ["LSTM, seed 0", "LSTM, seed 1", "mean of 2", "spread (sample deviation)", *shown["BESIDE"]]
    assert [line[:46].strip() for line in lines] == names
    figures = np.array([[float(value) for value in line[46:].split()[:3]] for line in lines[:4]])
    given = [[100 * found[name] for name in shown["SHOWN"]] for *_, found in measured]
    np.testing.assert_allclose(figures[:2], given, atol=0.006)  # what evaluate gave, in its order
    np.testing.assert_allclose(figures[2], np.mean(given, 0), atol=0.006)
    np.testing.assert_allclose(figures[3], np.std(given, 0, ddof=1), atol=0.006)
    for (learnt, named, task), (asked, *_) in zip(trained, measured, strict=True):
        assert len(learnt) == len(asked) == 300 and "validation" not in named and task.validation_fraction > 0
        assert all("train" in example.where and "valid" not in example.where for example in learnt)
        assert all("valid" in example.where for example in asked)
    assert trained[0][-1].seed == 0 and trained[1][-1].seed == 1
