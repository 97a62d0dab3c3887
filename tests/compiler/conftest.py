"""Tests of the compiler run on every backend where they name one."""

from __future__ import annotations

import pytest

from recell.compiler.build import backends


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends())
