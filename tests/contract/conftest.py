"""cell x backend: every law asks for the names by these arguments, so nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from recell.compiler.build import backends
from tests.contract.descriptions import MODIFIED, NAMES
from tests.contract.harness import VARIANTS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    tables = {
        "cell": (*NAMES, *MODIFIED), "backend": backends(), "other": [b for b in backends() if b != "reference"],
        "variant": tuple(VARIANTS), "dtype": ("float64", "float32"),
    }  # fmt: skip
    for name, values in tables.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests run side by side: laws about threads ask for two by themselves."""
    monkeypatch.setenv("RECELL_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: a team of threads would cost a hundred times what they compute
    yield
    torch.set_num_threads(before)
