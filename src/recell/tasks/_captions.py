"""What a captioner learns with: examples and captions as numbers, and the network that reads the one and writes the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.batching import IGNORED
from recell.data.captions import Captioned
from recell.data.vocabulary import END, PADDING, START, UNKNOWN, Level, Vocabulary, tokenize
from recell.decoding import Hypothesis, Sampling, beam_search, sample
from recell.errors import DataError, message
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.nn.losses import linear_cross_entropy
from recell.runtime.network import layer_sizes
from recell.tasks._encoders import encoder_for
from recell.tasks._layers import Layers
from recell.tasks._scales import Means, Moments, Values, reduced, scaled
from recell.tasks._sequence import Batch, SequenceNetwork, Source
from recell.training import Loss

FEEDS = ("state", "input", "both")
_NEVER = (PADDING, UNKNOWN, START)  # what a caption never says
Memory = tuple[Tensor, dict[str, Tensor]]  # what a decoder goes on from: the code (N, size), and the states (layers, N, size)


@dataclass(frozen=True)
class Item:
    """An example as numbers: the value as it came, and the caption's symbols (T,), without start and end."""

    value: NDArray[Any]
    tokens: NDArray[np.int64]


class CaptionCodec:
    """Values of one shape, minus the training values' `mean`, divided by their `deviation` (of each feature of a vector, of all
    pixels of an image together); captions as symbols. `longest`: symbols of the longest caption that training saw."""

    unit = "symbols"

    def __init__(self, vocabulary: Vocabulary, shape: tuple[int, ...], mean: Means, deviation: Values,
                 longest: int) -> None:
        self.vocabulary, self.shape, self.mean, self.deviation = vocabulary, shape, mean, deviation
        self.longest = longest

    @classmethod
    def learn(cls, examples: Source[Captioned], *, level: Level, minimum_count: int) -> CaptionCodec:
        """Vocabulary, shape and scale of the training examples."""
        shape, moments = None, Moments()
        for example in examples:
            shape = shape or example.value.shape
            _check_shape(example, shape)
            moments.add(example.value[None])
        assert shape is not None
        mean, deviation = (moments.pooled() if len(shape) == 2 else moments).scale()
        cut = (tokenize(example.text or "", level) for example in examples)
        vocabulary = Vocabulary.of_tokens((symbol for row in cut for symbol in row), level=level, minimum_count=minimum_count)
        if not vocabulary.symbols:
            said = f"no symbol of the captions occurs {minimum_count} times, so none could be written"
            raise DataError(message(said, write="a smaller minimum_count"))
        longest = max(len(tokenize(example.text or "", level)) for example in examples)
        return cls(vocabulary, shape, mean, deviation, longest)

    def encode(self, example: Captioned, *, labelled: bool) -> Item:
        _check_shape(example, self.shape)
        if example.value.dtype.kind == "f":
            scaled(example.value, self.mean, self.deviation, example.where)  # raises; kept as it came, which may take less
        return Item(example.value, self.symbols(example) if labelled else np.zeros(0, np.int64))

    def symbols(self, example: Captioned) -> NDArray[np.int64]:
        """Its caption as numbers; a symbol that training never saw is UNKNOWN, which no answer says."""
        if example.text is None:
            raise DataError(message(f"{example.where} has no caption", write="a text"))
        return self.vocabulary.encode(example.text)

    def length(self, item: Item) -> int:
        return len(item.tokens)

    def batch(self, items: Sequence[Item]) -> Batch:
        values = reduced(np.stack([item.value for item in items]), self.mean, self.deviation)
        inputs = np.full((1 + max(len(item.tokens) for item in items), len(items)), PADDING, np.int64)
        targets = np.full_like(inputs, IGNORED)
        for n, item in enumerate(items):
            inputs[: 1 + len(item.tokens), n] = (START, *item.tokens)
            targets[: 1 + len(item.tokens), n] = (*item.tokens, END)
        return {"values": torch.from_numpy(values), "inputs": torch.from_numpy(inputs), "targets": torch.from_numpy(targets)}

    def to_json(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary.to_json(), "shape": list(self.shape), "mean": self.mean.tolist(),
                "deviation": self.deviation.tolist(), "longest": self.longest}  # fmt: skip


class CaptionNetwork(SequenceNetwork):
    """Encoder -> code; its linear image starts every state of the decoder; [symbol, code] -> Recurrent -> a score per symbol."""

    def __init__(self, cell: Cell, codec: CaptionCodec, layers: Layers, *, encoder: str, code_size: int, feed: str,
                 embedding_size: int, longest: int, width: int, length_penalty: float) -> None:
        super().__init__()
        symbols = len(codec.vocabulary)
        self.feeds_input, self.longest, self.width, self.length_penalty = feed != "state", longest, width, length_penalty
        self.encoder = encoder_for(encoder, codec.shape, code_size, cell=cell, hidden_size=layers.hidden_sizes[0],
                                   backend=layers.backend)
        self.embedding = nn.Embedding(symbols, embedding_size)
        inputs = embedding_size + (code_size if self.feeds_input else 0)
        self.recurrent = layers.make(cell, inputs, symbols, reads=f"embedding_size{' and code_size' * self.feeds_input}")
        rows = [cell.state_sizes(own) for own in layer_sizes(cell, layers.described(cell, inputs, symbols))]
        self.starts = {  # each state's initial value and its size in the widest layer; `t` counts steps
            state.name: (state.initial, max(row[n] for row in rows)) for n, state in enumerate(cell.states) if state.name != "t"
        }
        starts = layers.count * sum(size for _, size in self.starts.values())
        self.start = None if feed == "input" else nn.Linear(code_size, starts)
        self.dropout = Dropout(layers.dropout)
        self.output = None if cell.brings_output else nn.Linear(self.recurrent.output_size, symbols)

    def begin(self, values: Tensor) -> Memory:
        """What the decoder goes on from before the first symbol."""
        code = self.dropout(self.encoder(values))
        if self.start is None:
            return code, {}
        layers = self.recurrent.num_layers
        parts = self.start(code).unflatten(1, (layers, -1)).transpose(0, 1).split([size for _, size in self.starts.values()], 2)
        firsts = zip(self.starts.items(), parts, strict=True)
        return code, {name: (part + initial).contiguous() for (name, (initial, _)), part in firsts}

    def read(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """What the output layer is given after each of the tokens (T, N), (T, N, width), and the memory after them."""
        code, state = memory
        x = self.embedding(tokens)
        if self.feeds_input:
            x = torch.cat((x, code.expand(len(x), -1, -1)), 2)
        y, after = self.recurrent(x, state)
        return (y if self.output is None else self.dropout(y)), (code, after)

    def loss(self, batch: Batch) -> Loss:
        y, _ = self.read(batch["inputs"], self.begin(batch["values"]))
        flat, targets = y.flatten(0, 1), batch["targets"].flatten()
        if self.output is None:
            mean = functional.cross_entropy(flat, targets, ignore_index=IGNORED)
        else:
            mean = linear_cross_entropy(flat, self.output.weight, targets, linear_bias=self.output.bias, ignore_index=IGNORED)
        return Loss(mean, int((targets != IGNORED).sum()))

    def step(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """The log-probability of each next symbol, (N, symbols), after one more, (N,)."""
        y, memory = self.read(tokens[None], memory)
        scores = y[0] if self.output is None else self.output(y[0])
        return scores.log_softmax(1), memory

    def choices(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """`step` among what a caption may say next: -inf for padding, unknown and start, and for the end where it would come
        first, as no caption is empty; the others' probabilities sum to 1. Whatever writes, chooses by these."""
        scores, memory = self.step(tokens, memory)
        refused = torch.zeros_like(scores, dtype=torch.bool)
        refused[:, list(_NEVER)] = True
        refused[:, END] = tokens == START
        return scores.masked_fill(refused, -torch.inf).log_softmax(1), memory

    def answer(self, batch: Batch) -> list[tuple[int, ...]]:
        if self.width > 1:
            found = self.beams(batch["values"], self.width, self.length_penalty)
            return [hypotheses[0].tokens for hypotheses in found]
        return self.greedy(batch["values"])

    def greedy(self, values: Tensor) -> list[tuple[int, ...]]:
        """The most probable next symbol each time, until every row has ended."""
        memory, tokens = self.begin(values), torch.full((len(values),), START, device=values.device)
        written, open_rows = list[Tensor](), torch.ones_like(tokens, dtype=torch.bool)
        while len(written) < self.longest and bool(open_rows.any()):
            scores, memory = self.choices(tokens, memory)
            tokens = scores.argmax(1)
            written.append(tokens)
            open_rows &= tokens != END
        rows = torch.stack(written, 1).tolist()
        return [tuple(row[: row.index(END)] if END in row else row) for row in rows]

    def beams(self, values: Tensor, width: int, length_penalty: float) -> list[list[Hypothesis]]:
        """The best captions of each row, best first."""

        def step(tokens: NDArray[np.int64], memory: Memory) -> tuple[NDArray[np.float32], Memory]:
            scores, memory = self.choices(torch.from_numpy(tokens).to(values.device), memory)
            return scores.cpu().numpy(), memory

        return beam_search(step, self.begin(values), start=START, end=END, width=width, length=self.longest, rows=len(values),
                           length_penalty=length_penalty, select=_rows_of)

    def drawn(self, values: Tensor, sampling: Sampling, generator: np.random.Generator) -> list[tuple[int, ...]]:
        """A caption for each row, drawn symbol by symbol, one row after the other."""
        found = list[tuple[int, ...]]()
        for row in range(len(values)):
            memory = self.begin(values[row : row + 1])

            def step(symbol: int) -> NDArray[np.float32]:
                nonlocal memory
                scores, memory = self.choices(torch.tensor([symbol], device=values.device), memory)
                return scores[0].cpu().numpy()

            found.append(tuple(sample(step, [START], self.longest, sampling=sampling, seed=generator, stop=[END])))
        return found


def _rows_of(memory: Memory, rows: NDArray[np.int64]) -> Memory:
    """The rows named of a memory."""
    code, state = memory
    index = torch.from_numpy(rows).to(code.device)
    return code[index], {name: part[:, index] for name, part in state.items()}


def _check_shape(example: Captioned, shape: tuple[int, ...]) -> None:
    if example.value.shape != shape:
        came = f"the shape {example.value.shape}"
        raise DataError(message(f"{example.where} is unlike the others", came=came, write=f"the shape {shape}"))
