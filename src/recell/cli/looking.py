"""``recell doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

from recell._version import __version__
from recell.errors import RecellError

POINTWISE_TIER = "virtual machine: the only one; compiled code gained less than 5 % of a step (docs/tiers.md)"
_UNUSABLE = "not usable: "
_PACKAGES = ("numpy", "safetensors", "torch", "typer", "rich", "scikit-learn", "seqeval", "tokenizers")


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
    native = _native()
    unusable = native["native_library"].startswith(_UNUSABLE)
    report["backends"] = ", ".join(name for name in backends() if name != "cpu" or not unusable)
    report |= native
    if "torch" in sys.modules or report["torch"] != "not installed":
        import torch

        report["torch_threads"] = torch.get_num_threads()
        report["cuda"] = torch.cuda.is_available()
    report |= {name: value for name, value in os.environ.items() if name.startswith("RECELL_")}
    if "RECELL_CACHE" in report:
        report["RECELL_CACHE"] += " (not read: recell caches nothing on disk)"
    return report


def check_settings(report: dict[str, Any]) -> None:
    """RecellError with the library's own line where a variable of the environment keeps it from running."""
    line = report["native_library"].removeprefix(_UNUSABLE)
    if line.startswith("RECELL_"):
        raise RecellError(line)


def _native() -> dict[str, Any]:
    """The native library: where it lies and what it runs on, or why it does not load."""
    from recell.compiler.backends.cpu import library

    try:
        return {
            "native_library": library.library_path(),
            "instruction_set": library.load().rc_isa().decode(),
            "bf16_products": "native" if library.load().rc_bf16() == 1 else "imitated",
            "pointwise_tier": POINTWISE_TIER + _asked(),
            "threads": library.thread_count(),
        }
    except RecellError as error:
        return {"native_library": f"{_UNUSABLE}{error}"}


def _asked() -> str:
    """What RECELL_TIER asks for, where that is another tier than the one that runs."""
    tier = os.environ.get("RECELL_TIER") or "vm"
    return "" if tier == "vm" else f"; RECELL_TIER asks for {tier}, which is not built"


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
