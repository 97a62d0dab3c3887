"""How many characters a second does a whole language model learn, recell's LSTM beside torch.nn.LSTM in the same loop?

The loop is the library's own training loop, with clipping and AdamW, on Python's language reference: 32 streams, windows of
100 characters, one LSTM of 256 units, an embedding of 128. Both networks take turns of 9 steps, of which the first 3 do not
count; medians of 24 steps. `make demo` prints the same comparison beside what the network has learnt.

What bounds it: the recurrent products take 3 * 2 * 100 * 32 * 1024 * 256 operations, 5.0 GF, 21 ms at a peak of 235 GF/s;
recell needs no more for its inputs, which it multiplies once a symbol, and the optimizer and the loss are the rest of its
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from recell import cells
from recell.bench.report import Row, against
from recell.bench.timing import Options, Step, medians, take_turns
from recell.data import Streams, Vocabulary
from recell.tasks._layers import Layers
from recell.tasks.language_model import LanguageLearner, Network
from recell.training import Plan, Training

KIND = "module"
HIDDEN_SIZE, EMBEDDING_SIZE, BATCH_SIZE, WINDOW = 256, 128, 32, 100
LEARNING_RATE = 4e-3
PROMISED = 1.4


def rows(options: Options) -> Iterator[Row]:
    seconds = step_seconds(reference_text())
    row = against("LSTM 256, batch 32, 100 steps", "torch.nn.LSTM", seconds, ours="recell LSTM", at_least=PROMISED)
    rates = {f"{name}, characters/s": round(BATCH_SIZE * WINDOW / value) for name, value in seconds.items()}
    yield row | rates


def reference_text() -> str:
    """Python's language reference, which every Python carries: all topics one after the other."""
    from pydoc_data.topics import topics

    return "".join(topics.values())


def step_seconds(text: str) -> dict[str, float]:
    """Median seconds of a whole training step, by side."""
    vocabulary = Vocabulary.of_text(text)
    numbers = vocabulary.encode(text)
    ours = Network(cells.get("LSTM"), len(vocabulary), Layers(HIDDEN_SIZE), embedding_size=EMBEDDING_SIZE)
    networks: dict[str, nn.Module] = {"recell LSTM": ours, "torch.nn.LSTM": TorchNetwork(len(vocabulary))}
    sides = {name: training_step(network, numbers) for name, network in networks.items()}
    return medians(take_turns(sides, rounds=4, warm=0, settle=3, runs=6))


def training_step(network: Any, numbers: Any) -> Step:
    """One step of the training loop."""
    streams = Streams(numbers, batch_size=BATCH_SIZE, window=WINDOW)
    learner = LanguageLearner(network, streams, None, unit="characters", window=WINDOW)
    return Training(learner, Plan(steps=10**9, learning_rate=LEARNING_RATE)).step


class TorchNetwork(nn.Module):
    """The same model on torch.nn.LSTM."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, EMBEDDING_SIZE)
        self.recurrent = nn.LSTM(EMBEDDING_SIZE, HIDDEN_SIZE)
        self.output = nn.Linear(HIDDEN_SIZE, vocabulary_size)

    def forward(self, tokens: Tensor, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        before = (state["h"], state["c"]) if state else None
        y, (h, c) = self.recurrent(self.embedding(tokens), before)
        return self.output(y), {"h": h.detach(), "c": c.detach()}

    def loss(self, tokens: Tensor, targets: Tensor, state: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        logits, after = self(tokens, state)
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), after
