"""What is not described in the contract tables fails the suite."""

from __future__ import annotations

import importlib
from pathlib import Path

from recell import cells, modifiers
from recell.compiler.build import backends
from recell.graph.ops import OPS as TABLE
from tests.contract import descriptions
from tests.language import cells_written_down


def test_every_cell_is_tried() -> None:
    assert set(descriptions.NAMES) == {*cells.names(), *cells_written_down.CELLS}
    for name in descriptions.NAMES:
        how = descriptions.description_of(name)
        assert 19 <= how.hidden < how.wide and how.wide > 64


def test_every_modifier_is_described_tried_and_tested() -> None:
    assert set(descriptions.MODIFIERS) == set(modifiers.__all__)
    tried = {type(change) for _, changes in descriptions.MODIFIED.values() for change in changes}
    assert len(tried) == len(modifiers.__all__)
    folder = Path(cells_written_down.__file__).parent / "modifiers"
    assert all((folder / name).is_file() for name in descriptions.MODIFIERS.values())


def test_every_op_is_described() -> None:
    assert set(descriptions.OPS) == set(TABLE)


def test_every_backend_is_described_with_its_dtypes() -> None:
    assert set(descriptions.BACKENDS) == set(backends())
    for name, how in descriptions.BACKENDS.items():
        assert set(how.dtypes) <= set(importlib.import_module(f"recell.compiler.backends.{name}.backend").DTYPES)


def test_every_dtype_has_a_tolerance() -> None:
    assert set(descriptions.TOLERANCE) == {dtype for how in descriptions.BACKENDS.values() for dtype in how.dtypes}
