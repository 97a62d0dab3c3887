"""examples/snips.py on a few sentences: every seed has its row, and the mean and spread are those of the rows."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "snips.py"
DATA = os.environ.get("RECELL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="RECELL_DATA is not set: SNIPS's sentences are not here")
def test_rows_mean_and_spread(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(SCRIPT), "--data", str(DATA), "--epochs", "6", "--seeds", "0", "1", "--sentences", "300", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = [line[46:].split() for line in capsys.readouterr().out.splitlines()[1:]]
    figures = np.array([[float(value) for value in row[:3]] for row in rows[:4]])
    np.testing.assert_allclose(figures[2], figures[:2].mean(0), atol=0.011)
    np.testing.assert_allclose(figures[3], figures[:2].std(0), atol=0.011)
    assert ((figures >= 0) & (figures <= 100)).all()
