"""The rules of the house: which way imports go, what an import costs, how long a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "recell"

# Top to bottom, the order in which data flows (docs/layout.md): a layer imports only from layers above it.
LAYERS = (
    "_version", "errors", "graph", "language", "cells", "compiler", "by_hand", "data", "decoding", "runtime",
    "nn", "training", "tasks", "worked", "explain", "bench", "cli",
)  # fmt: skip
DOOR = {"__init__", "__main__", "modifiers"}  # outside the order: the door names what lies anywhere inside
# The one import downwards: what a cell keeps for its gradients is said by its plan, so `Cell.stash_floats` asks the compiler,
# and inside the method alone: `import recell` and the tracing of a cell stay free of it.
DOWNWARDS = {("recell.language.cell", "recell.compiler.planner")}
HEAVY = ("torch", "pandas", "matplotlib", "scipy", "sklearn", "onnx", "polars", "pydantic", "rich", "typer")
LONGEST_FUNCTION = 80


def source_files() -> list[Path]:
    files = sorted(SOURCE.rglob("*.py"))
    assert files, f"no source under {SOURCE}"
    return files


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str | None:
    """`recell.graph.ops` -> `graph`; None for recell itself and for modules of others."""
    parts = module.split(".")
    return parts[1] if parts[0] == "recell" and len(parts) > 1 else None


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """(line, full module name) of every import of a file, inside functions and TYPE_CHECKING blocks too."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            anchor = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*anchor, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            # `from recell import graph` is an import of recell.graph
            yield from sorted({(node.lineno, name if is_source(name) else base) for name in names})


def is_source(module: str) -> bool:
    path = SOURCE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports_inside() -> Iterator[tuple[Path, int, str, str]]:
    """(file, line, importing module, imported module) for every import of recell by a file of a layer."""
    for path in source_files():
        if path.parent == SOURCE and path.stem in DOOR:
            continue
        for line, name in imported_modules(path):
            if name.split(".")[0] == "recell":
                yield path, line, module_name(path), name


def is_within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(SOURCE.parents[1])}:{line}"


def test_every_file_belongs_to_a_layer() -> None:
    stray = {layer for path in source_files() if (layer := layer_of(module_name(path)))} - set(LAYERS) - DOOR
    assert not stray, f"not a layer of docs/layout.md: {sorted(stray)}"


def test_layers_import_only_from_layers_above() -> None:
    wrong = []
    for path, line, importer, imported in imports_inside():
        here, there = layer_of(importer), layer_of(imported)
        if there is None or there in DOOR:
            wrong.append(f"{where(path, line)} imports {imported}, the door; name the layer that it needs")
        elif LAYERS.index(there) > LAYERS.index(str(here)) and (importer, imported) not in DOWNWARDS:
            wrong.append(f"{where(path, line)}: {here} imports {imported}, which is below it")
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_used_inside_functions_only() -> None:
    asked = {(importer, imported) for _, _, importer, imported in imports_inside()}
    assert asked >= DOWNWARDS, f"no longer needed: {DOWNWARDS - asked}"
    for importer, imported in DOWNWARDS:
        found = run_fresh(f"import sys, {importer}; print({imported!r} in sys.modules)")
        assert found.strip() == "False", f"importing {importer} imports {imported}"


def test_backends_do_not_import_each_other() -> None:
    backends = "recell.compiler.backends."
    wrong = []
    for path, line, importer, imported in imports_inside():
        if importer.startswith(backends) and imported.startswith(backends):
            if importer.removeprefix(backends).split(".")[0] != imported.removeprefix(backends).split(".")[0]:
                wrong.append(f"{where(path, line)}: {importer} imports {imported}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("independent", "forbidden"),
    [
        ("recell.by_hand", ("recell.graph", "recell.language", "recell.cells", "recell.compiler")),
        ("recell.compiler.backends.reference", ("recell.compiler.plan", "recell.compiler.planner", "recell.compiler.backward")),
    ],
)
def test_oracles_do_not_see_what_they_judge(independent: str, forbidden: tuple[str, ...]) -> None:
    wrong = [
        f"{where(path, line)}: {importer} imports {imported}"
        for path, line, importer, imported in imports_inside()
        if is_within(importer, independent) and any(is_within(imported, name) for name in forbidden)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_function_is_too_long() -> None:
    wrong = []
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    wrong.append(f"{where(path, node.lineno)}: {node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


def run_fresh(program: str) -> str:
    """What `program` prints in a process of its own."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layer", ["", ".cells", ".data", ".decoding", ".runtime"])
def test_import_brings_nothing_heavy(layer: str) -> None:
    module = f"recell{layer}"
    program = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert run_fresh(program).split() == []


def test_import_takes_little() -> None:
    # Counted, not timed: 179 modules were 0.2 s, most of them NumPy's.
    program = "import sys; before = len(sys.modules); import recell; print(len(sys.modules) - before)"
    assert int(run_fresh(program)) < 250


def test_version_is_said_once() -> None:
    version = run_fresh("import recell; print(recell.__version__)").strip()
    said = [path for path in source_files() if f'"{version}"' in path.read_text(encoding="utf-8")]
    assert [path.name for path in said] == ["_version.py"]


def described() -> dict[str, list[str]]:
    """The extras of pyproject.toml, with the names of their packages; those of other extras that they name are theirs too."""
    text = (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extras: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    found: dict[str, list[str]] = {}
    for extra, asked in extras.items():
        inner = [name for one in asked if one.startswith("recell[") for name in one[7:-1].split(",")]
        found[extra] = [re.split(r"[\[<>=]", one)[0] for name in [extra, *inner] for one in extras[name]]
    return found


@pytest.mark.parametrize("extra", ["cli", "torch", "tasks", "explain", "onnx", "bench", "examples"])
def test_what_an_extra_installs_is_imported(extra: str) -> None:
    root = SOURCE.parents[1]
    code = [path.read_text(encoding="utf-8") for folder in ("src", "examples") for path in (root / folder).rglob("*.py")]
    for package in set(described()[extra]) - {"recell"}:
        name = {"scikit-learn": "sklearn"}.get(package, package).replace("-", "_")
        used = re.compile(rf"^\s*(from|import) {name}\b|\boptional\(\"{name}\"", re.MULTILINE)
        assert any(used.search(text) for text in code), f"nothing imports {package}"


def test_what_tests_ask_for_make_installs() -> None:
    """A test that skips where a package is missing runs in a fresh checkout; what benchmarks compare with is theirs."""
    root = SOURCE.parents[1]
    extras = re.search(r"^EXTRAS *:= (\S+)$", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert extras
    installed = {name.replace("-", "_") for extra in extras[1].split(",") for name in described()[extra]}
    for path in (root / "tests").rglob("test_*.py"):
        for name in re.findall(r"importorskip\(\"(\w+)", path.read_text(encoding="utf-8")):
            package = {"sklearn": "scikit_learn"}.get(name, name)
            assert package in installed | {"numpy"} or path.parent.name == "bench", f"{path.name} skips without {name}"


def test_the_oldest_torch_that_is_asked_for_has_what_is_imported_of_it() -> None:
    # `torch.nn.LinearCrossEntropyOptions` came with 2.13, and no earlier torch was ever tested.
    root = SOURCE.parents[1]
    asked = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]["torch"]
    tested = re.search(r"^torch==(\d+\.\d+)", (root / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert tested and asked == [f"torch>={tested[1]}"]
