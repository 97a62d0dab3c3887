"""Text in, numbers out: vocabularies, readers, batches, and the n-gram that a network has to beat."""

from __future__ import annotations

from recell.data.batching import IGNORED, Streams, Window, evaluation_windows
from recell.data.display import fold, terminal_width
from recell.data.text import read_text
from recell.data.vocabulary import Vocabulary
from recell.data.witten_bell import WittenBell

__all__ = [
    "IGNORED",
    "Streams",
    "Vocabulary",
    "Window",
    "WittenBell",
    "evaluation_windows",
    "fold",
    "read_text",
    "terminal_width",
]
