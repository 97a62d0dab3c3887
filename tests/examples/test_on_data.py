"""What the examples on real data share, tried without any."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.helper import EXAMPLES


@pytest.fixture
def on_data(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    yield importlib.import_module("on_data")
    del sys.modules["on_data"]


def test_counts_are_options_with_their_defaults(on_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example.py", "--data", "somewhere", "--first-seed", "7"])
    found = on_data.arguments_of(on_data.data_parser("An example.", "music", seeds=3, first_seed=0))
    assert vars(found) == {"data": Path("somewhere"), "seeds": 3, "first_seed": 7}


def test_the_environment_names_the_data_and_without_it_the_program_ends(
    on_data: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["example.py"])
    with pytest.raises(SystemExit) as left:
        on_data.arguments_of(on_data.data_parser("An example.", "music"))
    assert left.value.code == 2 and "name the data's folder" in capsys.readouterr().err
    monkeypatch.setenv("RECELL_DATA", "elsewhere")
    assert on_data.arguments_of(on_data.data_parser("An example.", "music")).data == Path("elsewhere")
