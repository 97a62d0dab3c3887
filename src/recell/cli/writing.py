"""``recell generate``: once, or one prompt after the other."""

from __future__ import annotations

import json
from typing import TextIO

from recell.runtime import Writer


def write(writer: Writer, prompt: str, length: int, *, as_json: bool) -> None:
    """Print the prompt and what follows it, as it is drawn."""
    writer.read(prompt)
    pieces = writer.write(length)
    if as_json:
        print(json.dumps({"prompt": prompt, "text": "".join(pieces)}), flush=True)
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def converse(writer: Writer, length: int, lines: TextIO, *, as_json: bool) -> None:
    """Go on from every line read; the writer remembers what stood before. An empty line lets it go on."""
    asked = lines.isatty()
    if asked:
        print("Write a beginning; an empty line goes on, Ctrl-D ends.")
    while True:
        print("> " if asked else "", end="", flush=True)
        line = lines.readline()
        if not line:
            return
        write(writer, line.rstrip("\n"), length, as_json=as_json)
