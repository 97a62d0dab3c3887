"""Every example, those to come too: found by its file, told in one line, and the same when it runs again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from recell import worked
from recell.errors import DataError

LEARN = {"order", "sky", "taipei"}


def test_all_of_them_are_there() -> None:
    expected = "bptt lstm memory order shapes sky softmax surface taipei unroll vanishing"
    assert set(expected.split()) <= set(worked.names())
    files = Path(next(iter(worked.examples.__path__))).glob("*.py")
    assert sorted(file.stem for file in files if file.stem != "__init__") == list(worked.names())


@pytest.mark.parametrize("name", worked.names())
def test_an_example_tells_itself(name: str) -> None:
    example = worked.find(name)()
    assert getattr(worked, name) is worked.find(name) and example.title == worked.title_of(name)
    assert example.source and example.text and " = " in example.text or name == "shapes"
    assert all(len(row) == len(table.columns) for table in example.tables for row in table.rows)
    for part in (example.title, example.text, *(table.plain() for table in example.tables)):
        assert part in str(example)
    assert "NaN" not in json.dumps(asdict(example)) and "Infinity" not in json.dumps(asdict(example))
    if name in LEARN:
        assert "seed 0" in example.text


def test_an_unknown_name() -> None:
    with pytest.raises(DataError, match="no worked example of this name; came 'memori'; write memory"):
        worked.find("memori")
    with pytest.raises(AttributeError, match="memory"):
        _ = worked.memori


def test_without_torch_the_list_and_the_pencil_examples_work() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from recell import worked\n"
        "for name in worked.names(): worked.title_of(name)\n"
        "for name in ('memory', 'lstm', 'unroll', 'bptt', 'softmax', 'surface', 'sky'): worked.find(name)()\n"
        "try: worked.taipei\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "RecellError the worked example taipei needs torch; came none installed; write pip install 'recell[torch]'"
    )


def test_a_new_file_is_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Mine.\n\na = 1"""\nfrom recell.worked.table import table, worked\n\n'
        'def mine():\n    return worked(__doc__, table(("a",), [(1,)]), source="me")\n'
    )
    monkeypatch.setattr(worked.examples, "__path__", [*worked.examples.__path__, str(tmp_path)])
    assert "mine" in worked.names() and worked.title_of("mine") == "Mine."
    assert worked.mine().rows == ((1,),)
    monkeypatch.delitem(sys.modules, "recell.worked.examples.mine")
