"""examples/key_terms.py on a few paragraphs: every seed has its row, mean and spread are those of the rows, a CRF beside."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "key_terms.py"
DATA = os.environ.get("RECELL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="RECELL_DATA is not set: SemEval's paragraphs are not here")
def test_rows_mean_and_spread(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn_crfsuite")
    command = [str(SCRIPT), "--data", str(DATA), "--epochs", "2", "--seeds", "0", "1", "--most", "12", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as python itself does
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("train: 12 paragraphs")
    figures = np.array([[float(value) for value in line[30:].split()[:6]] for line in lines[3:7]])
    np.testing.assert_allclose(figures[2], figures[:2].mean(0), atol=0.011)
    np.testing.assert_allclose(figures[3], figures[:2].std(0, ddof=1), atol=0.011)
    assert lines[7].startswith("feature CRF") and 0 < float(lines[7][30:].split()[0]) < 100
