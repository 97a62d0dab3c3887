"""examples/taipei.py: memory parts the two Taipeis, and without it they are one."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "taipei.py"


def test_nothing_that_is_measured_is_learnt_from() -> None:
    script = runpy.run_path(str(SCRIPT))
    learnt, fresh = script["parted"](118, np.random.default_rng(0))
    assert (len(set(learnt)), len(set(fresh))) == (118, 200)
    assert sorted([*learnt, *fresh, *script["PAIR"]]) == sorted(script["grammar"]())
    words, tags = script["tagged"](["leave Rome on April 1st", "arrive Oslo on August 2nd"])
    assert words[0] == ["leave", "Rome", "on", "April", "1st"]
    assert tags == [["O", f"B-{kind}", "O", "B-date", "I-date"] for kind in ("departure", "destination")]
    with pytest.raises(SystemExit, match="318 sentences beside the pair; came --sentences 318"):
        script["parted"](318, np.random.default_rng(0))


@pytest.mark.slow
def test_memory_tells_the_two_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    rows = {line[:24].strip(): line[24:].split() for line in capsys.readouterr().out.splitlines()[1:6]}
    assert rows["without memory"][0] == rows["without memory"][1]
    for name in ("Elman", "Jordan", "Elman, both directions"):
        assert rows[name][:2] == ["B-destination", "B-departure"] and float(rows[name][2].rstrip("%")) > 95
    assert float(rows["without memory"][2].rstrip("%")) < 60
