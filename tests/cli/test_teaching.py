from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from recell import worked


def test_the_list(recell) -> None:
    assert json.loads(recell("worked", "--json").out) == {name: worked.title_of(name) for name in worked.names()}
    assert recell("worked").out.count("\n") == len(worked.names())


def test_an_example_in_three_forms(recell) -> None:
    example = worked.memory()
    assert recell("worked", "memory").out == f"{example}\n"
    assert recell("worked", "memory", "--markdown").out == example.markdown()
    data = json.loads(recell("worked", "memory", "--json").out)
    assert data["columns"] == list(example.columns) and [row[-1] for row in data["rows"]][:3] == [[4, 4], [12, 12], [32, 32]]


@pytest.mark.parametrize(("columns", "ruled"), [("120", True), ("40", False)])
def test_a_terminal_gets_rules_where_they_fit(recell, monkeypatch, columns: str, ruled: bool) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = recell("worked", "bptt").out
    assert ("━" in out) == ruled and "-0.08829" in out and "…" not in out


def test_a_picture(recell, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    ran = recell("worked", "vanishing", "--picture", tmp_path / "a.svg", "--json")
    assert json.loads(ran.out)["picture"] == str(tmp_path / "a.svg") and (tmp_path / "a.svg").stat().st_size > 1000


def test_one_line_on_bad_input(recell, tmp_path: Path) -> None:
    for arguments in (("memori",), ("--markdown",), ("memory", "--picture", tmp_path / "a.png")):
        ran = recell("worked", *arguments)
        assert ran.code == 2 and ran.err.count("\n") == 1 and not ran.out
