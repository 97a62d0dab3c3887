"""examples/taipei.py: memory parts the two Taipeis, and without it they are one."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "taipei.py"


@pytest.mark.slow
def test_memory_tells_the_two_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = {line[:24].strip(): line[24:].split() for line in capsys.readouterr().out.splitlines()[1:6]}
    assert rows["without memory"][0] == rows["without memory"][1]
    for name in ("Elman", "Jordan", "Elman, both directions"):
        assert rows[name][:2] == ["B-destination", "B-departure"] and float(rows[name][2].rstrip("%")) > 95
