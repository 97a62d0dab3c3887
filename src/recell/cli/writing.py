"""``recell generate``: once, or one prompt after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from recell.decoding.sample import Sampling
from recell.runtime import Model


@dataclass(frozen=True)
class Writing:
    """How to write; wrong settings are refused before any model is loaded."""

    length: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int | None

    def __post_init__(self) -> None:
        Sampling(self.temperature, self.top_k, self.top_p)


def write(model: Model, prompt: str, writing: Writing, *, as_json: bool) -> None:
    """Print the prompt and what follows it, as it is drawn."""
    pieces = model.stream(
        prompt, writing.length, temperature=writing.temperature, top_k=writing.top_k, top_p=writing.top_p,
        seed=writing.seed,
    )  # fmt: skip
    if as_json:
        print(json.dumps({"prompt": prompt, "text": "".join(pieces), "seed": writing.seed}))
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def converse(model: Model, writing: Writing, lines: TextIO, *, as_json: bool) -> None:
    """Go on from every line read; the model remembers what stood before. An empty line goes on as it is."""
    generator = np.random.default_rng(writing.seed)
    session = model.session()
    asked = lines.isatty()
    if asked:
        print("Write a beginning; an empty line goes on, Ctrl-D ends.")
    first = True
    while True:
        print("> " if asked else "", end="", flush=True)
        line = lines.readline()
        if not line:
            return
        prompt = line.rstrip("\n")
        pieces = model.stream(
            prompt, writing.length, temperature=writing.temperature, top_k=writing.top_k, top_p=writing.top_p,
            seed=generator, session=None if first else session,
        )  # fmt: skip
        first = False
        if as_json:
            print(json.dumps({"prompt": prompt, "text": "".join(pieces)}), flush=True)
            continue
        print(prompt, end="")
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
