"""A graph that was damaged anywhere is refused, in one line that says where, and never later by a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recell import Cell, CellError, ModelError, cells
from recell.errors import RecellError
from recell.graph import serial
from recell.graph.verify import verify
from recell.modifiers import zoneout
from tests.contract.descriptions import NAMES, cell_named


@pytest.mark.parametrize("name", NAMES)
def test_what_the_language_makes_verifies(name: str) -> None:
    verify(cell_named(name).graph, CellError)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every leaf and every list of the data."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*path, key))
    if path:
        yield path


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(data)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return result


def damages(value: Any) -> list[Any]:
    match value:
        case bool():
            return ["yes"]
        case int():
            return [-1, value + 1, value + 1000, "x"]
        case float():
            return ["x", None]
        case str():
            return ["nonsense", "not a name", 3]
        case _:
            return [None, [], ["x"]]


CARRIERS = ("LSTM", "Jordan", "Clockwork", "Normed", "PackedLSTM", "SRU")


@pytest.mark.parametrize("name", CARRIERS)
def test_damage_anywhere_is_refused_or_harmless(name: str) -> None:
    """Every single place of the file, changed: refused with a ModelError, or still a cell that shapes, prints and runs."""
    from recell.compiler.build import build
    from tests.contract.harness import forward, make, sizes_of

    data = json.loads(json.dumps(serial.to_json(cell_named(name).graph)))
    rng = np.random.default_rng(0)
    wheres = list(places(data))
    wheres = [wheres[i] for i in rng.permutation(len(wheres))[:150]]
    accepted = 0
    for path in wheres:
        value = data
        for key in path:
            value = value[key]
        for damage in damages(value):
            try:
                cell = Cell.from_json({"name": "Damaged", "defaults": {}, "graph": changed(data, path, damage)})
            except ModelError as error:
                assert "\n" not in str(error)
                continue
            accepted += 1
            try:  # what was accepted must work, or be refused by a line of its own (sizes that don't fit)
                cell.equations(), cell.latex(), cell.diagram()
                symbols = {s for n in cell.graph.nodes for d in n.shape.dims for s in d.symbols} - {"input", "hidden"}
                sizes = sizes_of(cell, 6, dict.fromkeys(symbols, 6))
                forward(make(cell, sizes, steps=1, rows=1), "reference")
                build(cell, sizes, backend="eager")
            except RecellError as error:
                assert "\n" not in str(error), (path, damage)
            except Exception as error:
                raise AssertionError(f"{path} = {damage!r} was accepted and gave {type(error).__name__}: {error}") from error
    assert accepted < len(wheres)


def damaged(**fields: Any) -> Cell:
    data = serial.to_json(cells.LSTM.graph)
    return Cell.from_json({"name": "Damaged", "defaults": {}, "graph": data | fields})


def test_lines_say_what_is_broken() -> None:
    data = serial.to_json(cells.LSTM.graph)
    states = data["states"]
    for fields, line in (
        ({"output": [], "output_states": []}, "it has no output"),
        ({"states": []}, "it has no state"),
        ({"states": [states[0], [states[0][0], *states[1][1:]]]}, "two states have one name"),
        ({"output_states": [1]}, "an output is not its state's new value"),
        ({"output": [10**6]}, "an output is not a value of the row"),
        ({"parameters": data["parameters"][:-1]}, "the parameters are not those of the graph"),
        ({"names": [["not a name", 3]]}, "a name is not a Python name"),
        ({"names": [["i", 10**6]]}, "the name of no value"),
        ({"nodes": [["warp", *data["nodes"][0][1:]], *data["nodes"][1:]]}, "unknown op 'warp'"),
    ):
        with pytest.raises(ModelError, match=line):
            damaged(**fields)


def test_a_node_reads_only_what_comes_before_it() -> None:
    data = serial.to_json(cells.LSTM.graph)
    place = next(i for i, n in enumerate(data["nodes"]) if n[1])
    data["nodes"][place][1] = [place, place]
    with pytest.raises(ModelError, match=f"node {place} reads a node that does not come before it"):
        damaged(nodes=data["nodes"])


def test_a_coins_number_is_a_key_of_32_bits() -> None:
    data = json.loads(json.dumps(serial.to_json(cells.LSTM.with_(zoneout(h=0.1)).graph)))
    (place,) = [i for i, node in enumerate(data["nodes"]) if node[0] == "coin"]
    for number in (2**31, 2**32, 10**30, -1):
        with pytest.raises(ModelError, match=f"op number {number}"):
            Cell.from_json({"name": "Damaged", "defaults": {}, "graph": changed(data, ("nodes", place, 2, 2), number)})
