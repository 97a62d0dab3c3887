from __future__ import annotations

from recell import worked
from tests.by_hand.setting import agree


def test_memory_and_output_by_pencil() -> None:
    example = worked.lstm()
    assert example.column("memory") == (3, 7, 7, 7, 0)
    assert example.column("output") == (0, 0, 0, 7, 0)
    assert list(zip(*map(example.column, ("x1", "x2", "x3")), strict=True)) == [
        (3, 1, 0), (4, 1, 0), (2, 0, 0), (1, 0, 1), (3, -1, 0),
    ]  # fmt: skip


def test_each_row_follows_from_the_row_above() -> None:
    example = worked.lstm(((1.5, 1, 1), (-2, 0.1, 0.1), (4, -0.1, 0.2)))
    before = 0.0
    for row in example.rows:
        value = dict(zip(example.columns, row, strict=True))
        agree(value["c"], value["f"] * before + value["i"] * value["g"])
        agree(value["h"], value["o"] * value["c"])
        before = value["c"]
    agree(example.column("i")[1], 0.5)  # sigmoid(100 * 0.1 - 10)
