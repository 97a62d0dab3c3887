"""Running a saved model without torch: ``load`` a folder, open a ``session``, ``step`` a stream.

Imports only numpy and safetensors.
"""

from __future__ import annotations

from recell.runtime.model import Model, load
from recell.runtime.saved import SavedModel, read_saved
from recell.runtime.session import Session
from recell.runtime.writer import Writer

__all__ = ["Model", "SavedModel", "Session", "Writer", "load", "read_saved"]
