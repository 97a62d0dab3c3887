"""The wheel: one per platform for every Python; a saved model runs on it without compiler and torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("wheel")  # one process builds it, once
BASE = ("numpy", "safetensors")  # all that a saved model needs


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    where = ["--config-settings", f"build-dir={folder / 'build'}", "--wheel-dir", str(folder)]
    subprocess.run([*pip, *where, str(ROOT)], check=True, timeout=500)
    (built,) = folder.glob("recell-*.whl")
    return built


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has this wheel, numpy and safetensors, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    for name in BASE:  # the same releases as here, without a download
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        package = Path(found.origin).parent
        for part in (package, package.with_name(f"{name}.libs")):
            if part.is_dir():
                (site / part.name).symlink_to(part)
    return folder / "bin" / "python"


def run_bare(python: Path, program: str, *arguments: str) -> str:
    """What `program` prints where no compiler is to be found."""
    environment = {"PATH": "", "HOME": os.environ.get("HOME", "/")}
    command = [str(python), "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, env=environment, cwd=python.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel_serves_every_python_and_holds_what_it_should(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    libraries = [name for name in names if name.endswith((".so", ".dylib", ".dll"))]
    assert len(libraries) == 1 and libraries[0].startswith("recell/_native/")
    assert "recell/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"recell"}


@pytest.mark.slow
def test_a_saved_model_runs_on_the_bare_wheel(bare_python: Path, tmp_path: Path) -> None:
    from recell.tasks import LanguageModel

    text = tmp_path / "corpus.txt"
    text.write_text("the cat sat on the mat, the dog on the log. " * 100, encoding="utf-8")
    LanguageModel(cell="LSTM", hidden_size=16).fit(str(text)).save(tmp_path / "model")
    program = (
        "import sys\n"
        "from recell import runtime\n"
        "session = runtime.load(sys.argv[1]).session()\n"
        "for k in range(20):\n"
        "    y = session.step([k % 3])\n"
        "print(y.shape, bool((y == y).all()), 'torch' in sys.modules)\n"
    )
    shape, finite, torch = run_bare(bare_python, program, str(tmp_path / "model")).rsplit(" ", 2)
    assert shape.startswith("(1, ") and finite == "True" and torch.strip() == "False"
