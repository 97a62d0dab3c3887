"""``python -m recell``: the command line."""

from __future__ import annotations

from recell.cli import main

main()
