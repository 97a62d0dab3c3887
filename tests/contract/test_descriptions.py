"""What is not described in the contract tables fails the suite."""

from __future__ import annotations

import importlib

from recell import cells
from recell.compiler.build import backends
from recell.graph.ops import OPS as TABLE
from tests.contract import descriptions
from tests.language.cells_written_down import CELLS as WRITTEN_DOWN


def test_every_cell_is_described() -> None:
    assert set(descriptions.CELLS) == {*cells.names(), *WRITTEN_DOWN}


def test_every_op_is_described() -> None:
    assert set(descriptions.OPS) == set(TABLE)


def test_every_backend_is_described_with_its_dtypes() -> None:
    assert set(descriptions.BACKENDS) == set(backends())
    for name, how in descriptions.BACKENDS.items():
        assert set(how.dtypes) <= set(importlib.import_module(f"recell.compiler.backends.{name}.backend").DTYPES)


def test_every_dtype_has_a_tolerance() -> None:
    assert set(descriptions.TOLERANCE) == {dtype for how in descriptions.BACKENDS.values() for dtype in how.dtypes}
