from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from recell.bench import run as running
from recell.bench.report import Report
from recell.bench.timing import Options, take_turns
from recell.errors import DataError


@pytest.mark.parametrize("name", running.names())
def test_every_benchmark_opens_with_its_question(name: str) -> None:
    question, text = running.question_of(name), running._parts(running.find(name))[1]
    assert question.endswith("?") and text
    assert running.find(name).KIND in ("kernel", "module") and callable(running.find(name).rows)


def fake() -> types.ModuleType:
    """A benchmark of two sides that do nothing."""
    module = types.ModuleType("fake", "Which is the idler?\n\nNothing bounds it.")
    module.KIND = "module"

    def rows(options: Options):
        for size in (1, 2):
            taken = take_turns({"a": lambda: None, "b": lambda: None}, rounds=3, warm=1)
            yield {"size": size, "threads": options.threads, "counted": len(taken["a"]) + len(taken["b"])}

    module.rows = rows
    return module


def test_rows_are_said_as_they_come_and_written_at_the_end(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(running, "find", lambda name: fake())
    monkeypatch.setattr(running, "peak", lambda threads, times=20: 1e11)
    said: list[str] = []
    threads = torch.get_num_threads()
    try:
        (report,) = running.run_all(["fake"], Options(threads=1), tmp_path, said.append)
    finally:
        torch.set_num_threads(threads)
    rows = [{"size": 1, "threads": 1, "counted": 6}, {"size": 2, "threads": 1, "counted": 6}]
    assert report.rows == rows and report.question == "Which is the idler?" and report.machine["FMA_peak_GF/s"] == 100
    assert said[:3] == [report.question, "  size 1, threads 1, counted 6", "  size 2, threads 1, counted 6"]
    assert Report.from_json((tmp_path / "fake.json").read_text()) == report


def test_a_wrong_name_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no benchmark.*kernle.*kernel"):
        running.run_all(["kernel", "kernle"], Options(), tmp_path, print)
    assert not list(tmp_path.iterdir())
