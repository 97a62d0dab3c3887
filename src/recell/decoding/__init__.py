"""From a network's scores to sequences."""

from __future__ import annotations

from recell.decoding.beam import Hypothesis, beam_search
from recell.decoding.ctc import ctc_greedy
from recell.decoding.edits import edit_distance
from recell.decoding.sample import Sampling, sample

__all__ = ["Hypothesis", "Sampling", "beam_search", "ctc_greedy", "edit_distance", "sample"]
