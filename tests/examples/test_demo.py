from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.slow
def test_the_demo_measures_what_it_prints(tmp_path: Path) -> None:
    """A few steps in place of all: its folder may hold an old model, and other files stay."""
    out = tmp_path / "model"
    out.mkdir()
    (out / "config.json").write_text("old")
    (out / "mine.txt").write_text("keep")
    command = [sys.executable, str(DEMO), "--steps", "2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "mine.txt").read_text() == "keep"
    nats, bits = map(float, re.findall(r"recell LSTM, 256 units +([\d.]+) +([\d.]+)", done.stdout)[0])
    counted, _ = map(float, re.findall(r"5-gram, Witten-Bell +([\d.]+) +([\d.]+)", done.stdout)[0])
    assert bits == pytest.approx(nats / 0.693147, abs=2e-4)
    if sys.version_info[:2] == (3, 11):
        assert counted == pytest.approx(1.3203, abs=1e-4)
    speeds = [float(s.replace(",", "")) for s in re.findall(r"(?:recell|torch.nn).LSTM +([\d,]+)\n", done.stdout)]
    ratio = float(re.findall(r"recell / torch +([\d.]+)x", done.stdout)[0])
    assert ratio == pytest.approx(speeds[0] / speeds[1], rel=0.02)
    config = json.loads((out / "config.json").read_text())
    assert config["options"]["hidden_size"] == 256 and config["trained"]["steps"] == 2
