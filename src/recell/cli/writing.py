"""``recell generate``: a language model's text, once or one prompt after the other; what other tasks draw for a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from recell.decoding import Sampling
from recell.errors import RecellError, message
from recell.runtime import Writer
from recell.runtime.saved import read_saved

if TYPE_CHECKING:
    from recell.tasks import Task


def of_a_language_model(folder: Path, data: Path | None) -> bool:
    """Whether a folder holds one; RecellError where it is to read a file, as other tasks do."""
    found = read_saved(folder).task == "language_model"
    if found and data is not None:
        raise RecellError(message("a language model goes on from a text", came=f"the file {data}", write="--prompt TEXT"))
    return found


def drawn(folder: Path, data: Path | None, length: int | None, sampling: Sampling, seed: int | None,
          given: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    """What the task in a folder draws for each thing that a file asks; `given` are options of a language model."""
    from recell.cli.train import load_task

    task: Task = load_task(folder)
    kind = type(task).__name__
    for name, value in given.items():
        if value:
            raise RecellError(message(f"{name} is for a language model", came=f"a {kind}", write=f"no {name}"))
    return task.draws(data, length=length, sampling=sampling, seed=seed)


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
