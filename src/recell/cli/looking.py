"""``recell cells`` and ``recell doctor``."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import sys
from typing import Any

from recell import cells
from recell._version import __version__
from recell.cli.own_cell import find_cell
from recell.errors import RecellError
from recell.language.cell import Cell

_INPUT, _HIDDEN, _OTHER = 64, 128, 64  # sizes to count an example's parameters with
POINTWISE_TIER = "virtual machine: the only one, it needs no compiler (measured in docs/tiers.md)"
_PACKAGES = ("numpy", "safetensors", "torch", "typer", "rich", "pydantic")


def list_cells() -> dict[str, Any]:
    """Every cell's name and what it is."""
    return {name: _summary(name) for name in cells.names()}


def describe_cell(named: str) -> dict[str, Any]:
    """A cell's equations and what it is made of, at input 64 and hidden 128."""
    found = find_cell(named)
    cell = cells.get(found) if isinstance(found, str) else found
    sizes = _example_sizes(cell)
    parameters = cell.parameters(sizes)
    return {
        "name": cell.name,
        "source": _summary(cell.name) if isinstance(found, str) else named,
        "equations": cell.equations(),
        "states": ", ".join(state.name for state in cell.states),
        "parameters": ", ".join(f"{p.name} {'x'.join(map(str, p.shape)) or 'scalar'}" for p in parameters),
        "parameter_count": sum(_count(p.shape) for p in parameters),
        "stash_floats": cell.stash_floats(sizes),
        "sizes": ", ".join(f"{name} {number}" for name, number in sizes.items()),
        "latex": cell.latex(),
    }


def examine() -> dict[str, Any]:
    """What is installed, and what the machine offers."""
    from recell.compiler.build import backends

    report: dict[str, Any] = {
        "recell": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    report |= {name: _installed(name) for name in _PACKAGES}
    report["backends"] = ", ".join(backends())
    report |= _native()
    if "torch" in sys.modules or report["torch"] != "not installed":
        import torch

        report["torch_threads"] = torch.get_num_threads()
        report["cuda"] = torch.cuda.is_available()
    report |= {name: value for name, value in os.environ.items() if name.startswith("RECELL_")}
    return report


def _native() -> dict[str, Any]:
    """The native library: where it lies and what it runs on, or why it does not load."""
    from recell.compiler.backends.cpu import library

    try:
        return {
            "native_library": library.library_path(),
            "instruction_set": library.load().rc_isa().decode(),
            "bf16_products": "native" if library.load().rc_bf16() == 1 else "imitated",
            "pointwise_tier": POINTWISE_TIER,
            "threads": library.thread_count(),
        }
    except RecellError as error:
        return {"native_library": f"not usable: {error}"}


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _summary(name: str) -> str:
    """The first line of the docstring of a cell's file: the paper and the variant."""
    for stem, module in sorted(sys.modules.items()):
        if stem.startswith("recell.cells.") and getattr(module, name, None) is cells.get(name):
            return (inspect.getdoc(module) or "").split("\n")[0]
    return ""


def _example_sizes(cell: Cell) -> dict[str, int]:
    """Numbers for every size: a cell's own defaults, and 64 for what has none."""
    symbols = {name for node in cell.graph.nodes for size in node.shape.dims for name in size.symbols}
    others = dict.fromkeys(symbols - {"input", "hidden"} - cell.defaults.keys(), _OTHER)
    forced = cell.graph.forced_input
    given = {"hidden": _HIDDEN, **cell.defaults, **others}
    return cell.resolve(_INPUT if forced is None else forced.evaluate(given), _HIDDEN, others)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
