"""Pictures of worked examples, by matplotlib, which is loaded when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recell.errors import DataError, message, needing

FORMATS = (".png", ".svg", ".pdf")


def save(draw: Callable[[Any], None], path: Path) -> Path:
    """Writes what `draw` puts on a figure; DataError where the file's name or folder does not do."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(message(f"a picture's file ends with {', '.join(FORMATS)}", came=path.name, write=f"{path.stem}.png"))
    figure = _figure()
    draw(figure)
    try:
        figure.savefig(path)
    except OSError as error:
        raise DataError(message(f"the picture {path} cannot be written", came=error.strerror or error)) from None
    return path


def _figure() -> Any:
    with needing("a picture", "matplotlib", extra="explain"):
        from matplotlib.figure import Figure
    return Figure(figsize=(8, 5), dpi=120, layout="constrained")
