"""A graph as data: it comes back the same, through real JSON; what has another form is refused in one line."""

from __future__ import annotations

import json

import pytest

from recell import Cell, ModelError, cells
from recell.graph import serial
from tests.contract.descriptions import NAMES, cell_named


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name: str) -> None:
    graph = cell_named(name).graph
    back = serial.from_json(json.loads(json.dumps(serial.to_json(graph))))
    assert back == graph and back.key == graph.key


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_comes_back_whole(name: str) -> None:
    cell = cell_named(name)
    back = Cell.from_json(json.loads(json.dumps(cell.to_json())))
    assert back == cell and back.equations() == cell.equations() and back.defaults == cell.defaults


def test_another_format_is_named() -> None:
    data = serial.to_json(cells.LSTM.graph) | {"format": 7}
    with pytest.raises(ModelError, match="has format 7; this version reads 1; install the version"):
        serial.from_json(data)


@pytest.mark.parametrize("field", serial.to_json(cells.LSTM.graph))
@pytest.mark.parametrize("value", [None, 5, "text", [[]], [None], {"a": 1}, [["x"] * 9]])
def test_every_field_of_another_form_is_refused(field: str, value: object) -> None:
    data = serial.to_json(cells.Jordan.graph) | {field: value}
    if field == "forced_input" and value is None:
        return
    with pytest.raises(ModelError) as caught:
        Cell.from_json({"name": "Damaged", "defaults": {}, "graph": data})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", serial.to_json(cells.LSTM.graph))
def test_every_field_is_needed(field: str) -> None:
    data = serial.to_json(cells.LSTM.graph)
    del data[field]
    with pytest.raises(ModelError, match="can't be read; came KeyError"):
        serial.from_json(data)


@pytest.mark.parametrize("data", [None, [], 3, "graph", {}])
def test_what_is_no_graph_at_all_is_refused(data: object) -> None:
    with pytest.raises(ModelError):
        serial.from_json(data)


BAD_DEFAULTS = {"name": "A", "graph": serial.to_json(cells.LSTM.graph), "defaults": {"context": "many"}}


@pytest.mark.parametrize("data", [None, [], {}, {"name": 3}, {"name": "not a name"}, BAD_DEFAULTS])
def test_a_cell_needs_a_name_and_numbers(data: object) -> None:
    with pytest.raises(ModelError):
        Cell.from_json(data)  # pyright: ignore[reportArgumentType]


def test_no_text_of_a_file_is_run() -> None:
    data = serial.to_json(cells.LSTM.graph)
    data["nodes"][0][4] = ["__import__('os').system('false')"]
    with pytest.raises(ModelError):
        serial.from_json(data)


@pytest.mark.parametrize("dims", ["hidden", ["hidden"] * 3])
def test_a_value_has_at_most_two_dimensions(dims: object) -> None:
    data = cells.Elman.to_json()
    data["graph"]["nodes"][6][4] = dims
    with pytest.raises(ModelError, match="can't be read.*dimensions"):
        Cell.from_json(data)
