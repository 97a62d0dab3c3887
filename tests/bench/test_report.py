from __future__ import annotations

import json
from pathlib import Path

import pytest

from recell.bench import RESULTS
from recell.bench.report import Report, against, examine, missing, table
from recell.bench.run import names
from recell.errors import DataError

KEPT = Path(__file__).parents[2] / RESULTS
ROWS = [
    against("LSTM (1, 2, 3, 4)", "torch.nn", {"torch.nn": 0.3, "recell": 0.2}, at_least=1.4),
    missing("LSTM (1, 2, 3, 4)", "JAX lax.scan"),
]


def test_a_row_says_both_sides_the_ratio_and_the_promise() -> None:
    row = ROWS[0]
    assert (row["beside"], row["its ms"], row["recell ms"], row["at least"]) == ("torch.nn", 300.0, 200.0, 1.4)
    assert abs(row["ratio"] - 1.5) < 1e-12


def test_a_side_that_is_missing_says_how_to_install_it() -> None:
    assert "pip install 'recell[bench]'" in table(ROWS).splitlines()[-1]


def test_a_table_has_every_column_of_every_row() -> None:
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table([{"a": 1, "b": 2.5}, {"b": 0.01, "c": "x"}]).splitlines()
    ]
    assert lines[0] == ["a", "b", "c"] and lines[2:] == [["1", "2.50", ""], ["", "0.0100", "x"]]
    assert len({len(line) for line in table(ROWS).splitlines()}) == 1


def test_both_files_hold_the_same_figures(tmp_path: Path) -> None:
    report = Report("tiny", "How long?", "What bounds it: nothing.", "module", examine(1, 2.34e11), list(ROWS))
    as_json, as_markdown = report.write(tmp_path / "new" / "folder")
    assert Report.from_json(as_json.read_text()) == report
    assert json.loads(as_json.read_text())["rows"][0]["ratio"] == ROWS[0]["ratio"]
    text = as_markdown.read_text()
    assert text.startswith("# How long?\n") and table(ROWS) in text and "What bounds it" in text
    assert "FMA peak GF/s 234" in text and "threads 1" in text and "Figures of the module" in text


def test_a_disk_that_fills_up_leaves_the_earlier_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report("tiny", "How long?", "", "module", {}, list(ROWS))
    before = [path.read_bytes() for path in report.write(tmp_path)]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recell.data.files.os.fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        report.write(tmp_path)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_kept_in_the_repository_is_what_was_measured(path: Path) -> None:
    """Tables are not edited by hand."""
    assert path.with_suffix(".md").read_text() == Report.from_json(path.read_text()).markdown()
    assert path.stem in names()
