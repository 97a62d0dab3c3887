from __future__ import annotations

import pytest

from recell.errors import DataError, ModelError
from recell.training.metrics import MetricsLog, read_records


@pytest.mark.parametrize("on_disk", [True, False])
def test_going_back_drops_what_will_come_again(tmp_path, on_disk: bool) -> None:
    log = MetricsLog(tmp_path / "m.jsonl" if on_disk else None)
    for step in (1, 2, 3, 4):
        log.append({"step": step, "loss": step / 3})
    log.restart(2)
    log.append({"step": 3, "loss": 9.0})
    assert [record["step"] for record in log.records] == [1, 2, 3]
    if on_disk:
        assert read_records(tmp_path / "m.jsonl") == log.records


def test_a_line_cut_off_by_a_kill_does_not_count(tmp_path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"ste')
    log = MetricsLog(path)
    log.restart(5)
    log.append({"step": 3})
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'


DAMAGED = [b'{"ste', b"[1, 2]", b"7", b"", b'{"loss": 1.0}', b'{"step": "2"}', b"\xff", b"[" * 100_000]


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_before_the_last_is_named_and_nothing_is_lost(tmp_path, line: bytes) -> None:
    path = tmp_path / "m.jsonl"
    content = b'{"step": 1}\n' + line + b'\n{"step": 3}\n'
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m.jsonl, line 2 is damaged") as caught:
        MetricsLog(path).restart(5)
    assert path.read_bytes() == content and "\n" not in str(caught.value)
    path.write_bytes(b'{"step": 1}\n' + line)
    assert read_records(path) == [{"step": 1}]


def test_a_disk_that_refuses_says_so(tmp_path) -> None:
    with pytest.raises(DataError, match="could not write"):
        MetricsLog(tmp_path / "none" / "m.jsonl").append({"step": 1})
    assert read_records(tmp_path / "none") == []
