"""Word order decides: two sentences of the same words, of two classes. A bag of words can't tell them apart, an RNN can.

A bag of words counts each word and forgets where it stood, so that both sentences are the same input:

    bag:  y = softmax(V n + c)              n: how often each word occurs
    RNN:  h_t = tanh(W x_t + U h_(t-1) + b)        y = softmax(V h_T + c)        x_t: word t as a one-hot vector

Whatever the bag learns, both sentences get the same answer, and the best that it can do is one half: log 2 = 0.693
nats of cross-entropy. The RNN reads the words one after the other, and its last state depends on their order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from recell.nn.recurrent import Recurrent
from recell.worked.learning import learn, numbered, parameter_count, seeded
from recell.worked.table import Worked, table, worked

SENTENCES = (("dog", "bites", "man"), ("man", "bites", "dog"))
CLASSES = ("no news", "news")
HIDDEN, STEPS, RATE = 4, 150, 0.1


class Bag(nn.Module):
    """The counts of the words, and one linear layer."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.words, self.output = words, nn.Linear(words, classes)

    def forward(self, sentences: Tensor) -> Tensor:  # (T, N) -> (N, classes)
        return self.output(one_hot(sentences, self.words).sum(0).float())


class LastState(nn.Module):
    """An Elman network over the words; a linear layer reads its last state."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.recurrent, self.output = Recurrent("Elman", words, HIDDEN), nn.Linear(HIDDEN, classes)

    def forward(self, sentences: Tensor) -> Tensor:  # (T, N) -> (N, classes)
        y, _ = self.recurrent(sentences)
        return self.output(y[-1])


def order(seed: int = 0) -> Worked:
    """Both learn the two sentences for the same number of steps, in about a second."""
    words = sorted(set(SENTENCES[0]))
    sentences, classes = numbered(SENTENCES, words), torch.arange(len(SENTENCES))
    found: dict[str, Tensor] = {}
    learned: list[tuple[Any, ...]] = []
    for name, kind in (("bag of words", Bag), ("RNN", LastState)):
        with seeded(seed):
            network = kind(len(words), len(CLASSES))
        nats = learn(network, lambda network=network: cross_entropy(network(sentences), classes), steps=STEPS, learning_rate=RATE)
        found[name] = network(sentences).detach().softmax(1)
        learned.append((name, parameter_count(network), nats, int((found[name].argmax(1) == classes).sum())))
    rows = [
        (" ".join(sentence), tuple(sentence.count(word) for word in words), CLASSES[n], *(float(y[n, n]) for y in found.values()))
        for n, sentence in enumerate(SENTENCES)
    ]
    columns = ("sentence", f"counts of {', '.join(words)}", "class", *(f"P(class), {name}" for name in found))
    compared = table(("network", "parameters", "nats", "right of 2"), learned, "After learning:")
    said = f"{STEPS} steps of Adam at rate {RATE}, {HIDDEN} units, seed {seed}."
    return worked(__doc__, table(columns, rows), compared, source="recell.nn; Elman (1990)", said=said)
