"""``python -m recell.cli``."""

from __future__ import annotations

from recell.cli import main

main()
