"""The command line: ``recell train``, ``generate``, ``evaluate``, ``predict``, ``cells``, ``worked``,
``doctor``, ``bench``."""

from __future__ import annotations

import importlib.util
import sys


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code: 0, 2 with one line on bad input, 130 after Ctrl-C."""
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"recell: the command line needs {' and '.join(missing)}: pip install 'recell[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    from recell.cli.run import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
