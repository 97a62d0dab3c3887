"""From a network's scores to sequences."""

from __future__ import annotations

from recell.decoding.sample import Sampling, sample

__all__ = ["Sampling", "sample"]
