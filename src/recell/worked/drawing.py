"""Pictures of worked examples, by matplotlib, which is loaded when one is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recell.data.files import write_bytes
from recell.errors import DataError, message, needing

FORMATS = (".png", ".svg", ".pdf")


def save(draw: Callable[[Any], None], path: Path) -> Path:
    """Writes what `draw` puts on a figure; DataError where the file's name or folder does not do."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(message(f"a picture's file ends with {', '.join(FORMATS)}", came=path.name, write=f"{path.stem}.png"))
    figure = _figure()
    draw(figure)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().removeprefix("."))
    write_bytes(path, content.getvalue())
    return path


def _figure() -> Any:
    with needing("a picture", "matplotlib", extra="explain"):
        from matplotlib.figure import Figure
    return Figure(figsize=(8, 5), dpi=120, layout="constrained")
