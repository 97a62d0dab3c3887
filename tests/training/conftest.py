from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """tests/training/toy.py, which the kill test also runs as a script."""
    path = Path(__file__).with_name("toy.py")
    spec = importlib.util.spec_from_file_location("recell_training_toy", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
