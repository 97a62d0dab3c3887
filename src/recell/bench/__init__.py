"""Benchmarks: one file in ``questions/``, one question, one table. ``recell bench`` runs them; docs/benchmarks.md says how to
read them.
"""

from pathlib import Path

RESULTS = Path("benchmarks/results")  # where tables go unless told
