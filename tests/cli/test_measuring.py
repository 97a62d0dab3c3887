from __future__ import annotations

import json
from pathlib import Path


def test_the_list_says_what_each_asks(recell) -> None:
    shown = recell("bench", "--list", "--json")
    questions = json.loads(shown.out)
    assert shown.code == 0 and {"kernel", "training", "streaming-step"} <= questions.keys()
    assert all(question.endswith("?") for question in questions.values())
    assert "streaming-step" in recell("bench", "--list").out


def test_a_wrong_name_is_one_line(recell, tmp_path: Path) -> None:
    ran = recell("bench", "trainin", "--out", tmp_path / "results")
    assert ran.code == 2 and "training" in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_no_thread_is_refused(recell) -> None:
    ran = recell("bench", "kernel", "--threads", 0)
    assert ran.code == 2 and ran.err.count("\n") == 1
