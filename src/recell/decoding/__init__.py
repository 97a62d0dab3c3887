"""From a network's scores to sequences."""

from __future__ import annotations

from recell.decoding.ctc import ctc_greedy
from recell.decoding.sample import Sampling, sample

__all__ = ["Sampling", "ctc_greedy", "sample"]
