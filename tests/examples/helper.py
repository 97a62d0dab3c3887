"""Runs an example as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    if not (folder := os.environ.get("RECELL_DATA")):
        pytest.skip("RECELL_DATA is unset: it names the folder with the real data")
    return Path(folder)


def ran(name: str, *arguments: object) -> str:
    """What the example prints; it must end well."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
