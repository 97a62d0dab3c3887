"""One file per task. A task is found by its file: ``language_model.py`` is ``LanguageModel`` and ``language-model``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recell.tasks.base import Task, find, load, names, options_to_json

if TYPE_CHECKING:
    from recell.tasks.captioner import Captioner
    from recell.tasks.classifier import Classifier
    from recell.tasks.frames import Frames
    from recell.tasks.key_terms import KeyTerms
    from recell.tasks.language_model import LanguageModel
    from recell.tasks.tagger import Tagger

__all__ = [
    "Captioner", "Classifier", "Frames", "KeyTerms", "LanguageModel", "Tagger", "Task", "find", "load", "names",
    "options_to_json",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    from recell.tasks.base import class_named

    found = None if name.startswith("_") else class_named(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
