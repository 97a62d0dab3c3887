"""The same word, two meanings: Taipei is the destination after "arrive" and the place of departure after "leave".

Each word of a sentence is to be given its slot. Networks learn the same sentences:

    no memory     h_t = tanh(W x_t + b)                                     z_t = V h_t + c
    Elman         h_t = tanh(W x_t + U h_(t-1) + b)                         z_t = V h_t + c
    Jordan        h_t = tanh(W x_t + U y_(t-1) + b)     y_t = sigmoid(z_t)      z_t = V h_t + c
    the probability of each slot of word t: softmax(z_t)

Without memory the word "Taipei" has one answer, whatever stood before it: the best is one half for each meaning.
Elman hands on what its hidden units held, Jordan what the network itself answered. "arrive" and "leave" have the same
slot, so Jordan must tell them apart in its answers for the other slots. Its output units are logistic, as in 1986: each
says yes or no for itself. Where the softmax is handed back instead (last column), the more certain a network is of
"other" the less is left to say anything with, and it learns no more than without memory. The network without memory is
Elman's, its state reset before every word.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recell.cells.elman import Elman
from recell.cells.jordan import Jordan
from recell.language.cell import Cell
from recell.language.functions import sigmoid
from recell.nn.recurrent import Recurrent
from recell.worked.learning import learn, numbered, parameter_count, seeded
from recell.worked.table import Table, Worked, table, worked

SENTENCES = tuple(f"{verb} {place} on November {day}" for verb in ("arrive", "leave") for place in ("Taipei", "Tainan")
                  for day in ("2nd", "5th"))  # fmt: skip
ASKED = ("arrive Taipei on November 2nd", "leave Taipei on November 2nd")
SLOTS = ("other", "destination", "departure", "time")
NETWORKS = {  # name -> its cell, and whether it has its memory
    "no memory": (Elman, False),
    "Elman": (Elman, True),
    "Jordan": (Jordan(activation=sigmoid), True),
    "Jordan, softmax": (Jordan, True),
}
HIDDEN, STEPS, RATE = 8, 200, 0.05


class Tagger(nn.Module):
    """A layer of any cell over one-hot words, and scores for each slot; without memory its state is reset at every step."""

    def __init__(self, cell: Cell, words: int, *, memory: bool = True) -> None:
        super().__init__()
        self.memory = memory
        self.recurrent = Recurrent(cell, words, HIDDEN, sizes={"output": len(SLOTS)} if cell.brings_output else None)
        self.output = nn.Identity() if cell.brings_output else nn.Linear(HIDDEN, len(SLOTS))

    def forward(self, words: Tensor) -> Tensor:  # (T, N) -> (T, N, slots)
        reset = None if self.memory else torch.ones(words.shape, dtype=torch.bool)
        y, _ = self.recurrent(words, reset=reset)
        return self.output(y)


def slots_of(sentence: str) -> list[str]:
    """The right slot of every word: other, destination or departure, other, time, time."""
    verb = sentence.split()[0]
    return ["other", "destination" if verb == "arrive" else "departure", "other", "time", "time"]


def taipei(seed: int = 0) -> Worked:
    """All learn eight sentences, in a few seconds; shown is what they say of two, and how they compare."""
    known = sorted({word for sentence in SENTENCES for word in sentence.split()})
    words = numbered([sentence.split() for sentence in SENTENCES], known)
    slots = numbered([slots_of(sentence) for sentence in SENTENCES], SLOTS)
    found: dict[str, Tensor] = {}
    learned: list[tuple[Any, ...]] = []
    for name, (cell, memory) in NETWORKS.items():
        with seeded(seed):
            network = Tagger(cell, len(known), memory=memory)
        loss = lambda network=network: cross_entropy(network(words).flatten(0, 1), slots.flatten())  # noqa: E731
        nats = learn(network, loss, steps=STEPS, learning_rate=RATE)
        found[name] = network(words).detach().softmax(2)
        wrong = int((found[name].argmax(2) != slots).sum())
        learned.append((name, parameter_count(network), nats, wrong, int(slots.numel())))
    compared = table(("network", "parameters", "nats a word", "wrong words", "of"), learned, "After learning, all sentences:")
    said = (f"{STEPS} steps of Adam at rate {RATE} on {len(SENTENCES)} sentences, {HIDDEN} units, seed {seed}. "
            "The columns hold the probability of the right slot.")  # fmt: skip
    return worked(
        __doc__,
        _shown(found),
        compared,
        said=said,
        source="recell.nn; Jordan (1986); Elman (1990); slot filling by both: Mesnil et al. (2013)",
    )


def _shown(found: dict[str, Tensor]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for sentence in ASKED:
        n = SENTENCES.index(sentence)
        for t, (word, slot) in enumerate(zip(sentence.split(), slots_of(sentence), strict=True)):
            rows.append((sentence if t == 0 else "", word, slot, *(float(y[t, n, SLOTS.index(slot)]) for y in found.values())))
    return table(("sentence", "word", "slot", *found), rows)
