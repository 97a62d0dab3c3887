"""Text in, numbers out: vocabularies, readers, batches, the n-gram that a network has to beat, tasks of long memory."""

from __future__ import annotations

from recell.data.batching import IGNORED, Streams, Window, evaluation_windows
from recell.data.display import fold, terminal_width
from recell.data.long_memory import adding, copy, copy_chance, parity, temporal_order
from recell.data.text import read_text
from recell.data.vocabulary import Vocabulary
from recell.data.witten_bell import WittenBell

__all__ = [
    "IGNORED",
    "Streams",
    "Vocabulary",
    "Window",
    "WittenBell",
    "adding",
    "copy",
    "copy_chance",
    "evaluation_windows",
    "fold",
    "parity",
    "read_text",
    "temporal_order",
    "terminal_width",
]
