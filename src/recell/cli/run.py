"""From arguments to an exit code: every error that is expected becomes one line on standard error."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from recell.cli.app import app
from recell.errors import RecellError

# typer carries click under a name of its own; typer's public error leads to the base of usage errors.
_UsageError: Any = typer.BadParameter.__mro__[1]

BAD_INPUT, INTERRUPTED = 2, 130


def run(arguments: list[str]) -> int:
    """Run the command line; its exit code. Without arguments: the help."""
    command: Any = typer.main.get_command(app)
    try:
        # Not command.main(): it has its own idea of Ctrl-C and closed pipes, and would swallow what we say about them.
        with command.make_context("recell", arguments or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as left:
        return left.exit_code
    except RecellError as error:
        return _refuse(str(error))
    except _UsageError as error:
        return _refuse(error.format_message().removesuffix(".") + _hint(error))
    except (KeyboardInterrupt, typer.Abort) as error:
        print(f"recell: {str(error) or 'stopped'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: `recell generate ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse(line: str) -> int:
    print(f"recell: {' '.join(line.split())}", file=sys.stderr)
    return BAD_INPUT


def _hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f". See: {context.command_path} --help" if context is not None else ""
