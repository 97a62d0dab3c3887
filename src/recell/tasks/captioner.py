"""A text for a vector or an image, one symbol after the other until it ends itself.

An encoder reads the whole, its code starts a recurrent decoder (Sutskever et al. 2014) and is fed to it at each step (Cho et al.
2014); images: Vinyals et al. 2015. Taught with the true symbol before each (Williams and Zipser 1989).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.batching import IGNORED
from recell.data.buckets import in_windows
from recell.data.captions import Captioned, CaptionFile, captioned_of, uncaptioned_of
from recell.data.drawing import generator_of
from recell.data.vocabulary import END, PADDING, START, UNKNOWN, Level, Vocabulary, checked_level, tokenize
from recell.decoding import Hypothesis, Sampling, beam_search, edit_distance, sample
from recell.errors import DataError, ModelError, RecellError, message
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.nn.losses import linear_cross_entropy
from recell.runtime.network import layer_sizes
from recell.tasks._checks import check_choice
from recell.tasks._encoders import ENCODERS, encoder_for
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._scales import scale_in, scale_of, scaled
from recell.tasks._sequence import Batch, SequenceNetwork, SequenceTask, Source, placed
from recell.tasks.base import named_file
from recell.training import Loss
from recell.training.loop import check_number

FEEDS = ("state", "input", "both")
_NEVER = (PADDING, UNKNOWN, START)  # what a caption never says
_SHOWN = 10  # mistakes that a report lists
_ASKED = 256  # examples that `generate` and `beams` read at a time
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

    def __init__(self, vocabulary: Vocabulary, shape: tuple[int, ...], mean: NDArray[np.float32],
                 deviation: NDArray[np.float32], longest: int) -> None:
        self.vocabulary, self.shape, self.mean, self.deviation = vocabulary, shape, mean, deviation
        self.longest = longest

    @classmethod
    def learn(cls, examples: Source[Captioned], *, level: Level, minimum_count: int) -> CaptionCodec:
        """Vocabulary, shape and scale of the training examples."""
        shape, count, total, squares = None, 0, np.zeros(()), np.zeros(())
        for example in examples:
            shape = shape or example.value.shape
            _check_shape(example, shape)
            value = example.value.astype(np.float64)
            count, total, squares = count + 1, total + value, squares + value**2
        assert shape is not None
        mean, square = (part.mean() if len(shape) == 2 else part for part in (total / count, squares / count))
        cut = (tokenize(example.text or "", level) for example in examples)
        vocabulary = Vocabulary.of_tokens((symbol for row in cut for symbol in row), level=level, minimum_count=minimum_count)
        if not vocabulary.symbols:
            said = f"no symbol of the captions occurs {minimum_count} times, so none could be written"
            raise DataError(message(said, write="a smaller minimum_count"))
        longest = max(len(tokenize(example.text or "", level)) for example in examples)
        return cls(vocabulary, shape, *scale_of(mean, square), longest)

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
        values = (np.stack([item.value for item in items]).astype(np.float32) - self.mean) / self.deviation
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


class Captioner(SequenceTask[Captioned, Item]):
    """Learns a text for each vector or image.

    Data: vectors (N, D) or images (N, H, W), an array or a list, with captions; a file of JSON lines with `vector` or `image` and
    `text`; an idx file of images, whose labels' texts are their numbers or, by number, ``names``. Captions are cut by ``level``
    into "characters" or "words"; a symbol that occurs less than ``minimum_count`` times is unknown, and never written. Greedy,
    drawn or searched for, a caption has one symbol or more, chosen by the probabilities among those that may be written.

    ``encoder`` "linear", "convolutions" (images), "rows" (images, a recurrent network over the rows) or "auto" makes a code of
    ``code_size`` numbers. ``feed`` "state": one linear layer of it starts every state of every layer; "input": each step reads it
    beside the symbol; "both". ``beam_width`` above 1 searches for the best caption, ranked by log p / symbols **
    ``length_penalty``. A caption has at most ``max_length`` symbols: without it, twice those of the longest in training.
    The step with the lowest loss on what is held out is kept, and `score` is minus that loss.

    ``hidden_size`` may be a list, a size for each layer. Between layers: ``residual`` or ``highway``, ``dropout``; before the
    first ``input_dropout``; ``variational`` drops the same units at all steps (`recell.nn.Recurrent`).
    """

    def __init__(self, *, cell: Cell | str = "LSTM", hidden_size: HiddenSize = 128, num_layers: int = 1,
                 sizes: Mapping[str, int] | None = None, modifiers: Sequence[str] = (), encoder: str = "auto",
                 code_size: int = 128, feed: str = "both", level: Level = "characters", embedding_size: int = 32,
                 minimum_count: int = 1, names: Sequence[str] | None = None, dropout: float = 0.2,
                 input_dropout: float | None = 0.0, variational: bool = False, residual: bool = False, highway: bool = False,
                 beam_width: int = 1, length_penalty: float = 0.0, max_length: int | None = None, batch_size: int = 64,
                 steps: int | None = None, epochs: int | None = None, optimizer: str = "adamw", learning_rate: float = 3e-3,
                 validation_fraction: float = 0.1, patience: int | None = None, plan: Mapping[str, Any] | None = None,
                 seed: int = 0, threads: int | None = None, device: str = "cpu", backend: str = "auto",
                 stream: bool = False) -> None:  # fmt: skip
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.sizes = sizes
        self.modifiers = modifiers
        self.encoder = encoder
        self.code_size = code_size
        self.feed = feed
        self.level: Level = level
        self.embedding_size = embedding_size
        self.minimum_count = minimum_count
        self.names = names
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.variational = variational
        self.residual = residual
        self.highway = highway
        self.beam_width = beam_width
        self.length_penalty = length_penalty
        self.max_length = max_length
        self.batch_size = batch_size
        self.steps = steps
        self.epochs = epochs
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.plan = plan
        self.seed = seed
        self.threads = threads
        self.device = device
        self.backend = backend
        self.stream = stream

    # -- asked of a trained one --------------------------------------------------------------------------------

    def generate(self, data: Any, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
                 seed: int | None = None) -> list[str]:
        """A caption for each example, drawn symbol by symbol; the same seed draws the same ones. Temperature 0 is greedy."""
        network, codec = self._decoder()
        sampling, generator = Sampling(temperature, top_k, top_p), generator_of(seed)
        rows = self._asked(data, lambda values: network.drawn(values, sampling, generator))
        return [codec.vocabulary.decode(row) for row in rows]

    def draws(self, path: str | Path | None, *, length: int | None, sampling: Sampling,
              seed: int | None) -> Iterator[tuple[str, Any]]:
        if length is not None:
            said = "a caption ends itself, at max_length at the latest"
            raise RecellError(message(said, came=f"length {length}", write="no length, or train with max_length"))
        asked = list(self._unlabelled(named_file(path, self)))
        found = self.generate([example.value for example in asked], temperature=sampling.temperature, top_k=sampling.top_k,
                              top_p=sampling.top_p, seed=seed)  # fmt: skip
        return ((example.where, text) for example, text in zip(asked, found, strict=True))

    def beams(self, data: Any, *, width: int = 5, length_penalty: float = 0.0) -> list[list[tuple[str, float]]]:
        """The best captions of each example, best first, with the natural logarithm of the probability that `generate` draws it
        (of one cut off at `max_length`, of its symbols so far)."""
        network, codec = self._decoder()
        rows = self._asked(data, lambda values: network.beams(values, width, length_penalty))
        return [[(codec.vocabulary.decode(one.tokens), one.log_probability) for one in row] for row in rows]

    def report(self, data: Any, labels: Any = None) -> str:
        """The mistakes that are made most often: the true caption, what was written, and how often."""
        network, codec = self._decoder()
        mistakes = Counter[tuple[str, str]]()
        with self._thread_count():
            for examples, answers, *_ in self._answered(network, codec, self._labelled(data, labels)):
                said = [codec.vocabulary.decode(row) for row in answers]
                pairs = ((str(example.text), written) for example, written in zip(examples, said, strict=True))
                mistakes.update((truth, written) for truth, written in pairs if truth != written)
        wrong = mistakes.most_common(_SHOWN)
        rows = [("true", "written", "times"), *((truth, said, str(times)) for (truth, said), times in wrong)]
        widths = [max(len(row[place]) for row in rows) for place in range(2)]
        shown = [f"{truth:<{widths[0]}}  {said:<{widths[1]}}  {times:>5}" for truth, said, times in rows]
        return "\n".join(shown) if wrong else ""

    def _asked(self, data: Any, ask: Any) -> list[Any]:
        network, codec = self._decoder()
        network.eval()
        found = list[Any]()
        with self._thread_count(), torch.no_grad():
            for examples in in_windows(self._unlabelled(data), _ASKED):
                items = [codec.encode(example, labelled=False) for example in examples]
                found += ask(placed(codec.batch(items), network)["values"])
        return found

    def _decoder(self) -> tuple[CaptionNetwork, CaptionCodec]:
        network, codec = self._fitted()
        assert isinstance(network, CaptionNetwork) and isinstance(codec, CaptionCodec)
        return network, codec

    # -- what a task on sequences says -------------------------------------------------------------------------

    def _check(self) -> Cell:
        cell = self._check_sequence(("code_size", "embedding_size", "minimum_count", "beam_width"), ("max_length",))
        for name, choices in (("encoder", ENCODERS), ("feed", FEEDS)):
            check_choice(name, getattr(self, name), choices)
        check_number("length_penalty", self.length_penalty)
        checked_level(self.level)
        if isinstance(self.names, str):
            raise RecellError(message("names is a list of captions by number", came=repr(self.names), write="['zero', 'one']"))
        return cell

    def _labelled(self, data: Any, labels: Any) -> Source[Captioned]:
        if isinstance(data, (str, Path)):
            return CaptionFile(data, names=self.names)
        return captioned_of(data, labels)

    def _unlabelled(self, data: Any) -> Iterable[Captioned]:
        return CaptionFile(data, labelled=False) if isinstance(data, (str, Path)) else uncaptioned_of(data)

    def _learn_codec(self, examples: Source[Captioned]) -> CaptionCodec:
        return CaptionCodec.learn(examples, level=self.level, minimum_count=self.minimum_count)

    def _codec_of(self, described: Mapping[str, Any]) -> CaptionCodec:
        damaged = ModelError("config.json is damaged: the codec has no vocabulary, shape and scale; save the model again")
        shape, longest, words = described.get("shape"), described.get("longest"), described.get("vocabulary")
        mean, deviation = scale_in(described, damaged)
        if not isinstance(shape, list) or not isinstance(longest, Integral) or not isinstance(words, dict):
            raise damaged
        sides = tuple(side for side in shape if isinstance(side, int) and side > 0)
        if len(sides) not in (1, 2) or len(sides) != len(shape) or mean.shape != sides[: 2 - len(sides)]:
            raise damaged
        vocabulary = Vocabulary.from_json(words)
        if not vocabulary.symbols:
            raise damaged
        return CaptionCodec(vocabulary, sides, mean, deviation, int(longest))

    def _build(self, cell: Cell, codec: Any) -> CaptionNetwork:
        return CaptionNetwork(cell, codec, Layers.of(self), encoder=self.encoder, code_size=self.code_size, feed=self.feed,
                              embedding_size=self.embedding_size, longest=self.max_length or 2 * codec.longest + 1,
                              width=self.beam_width, length_penalty=self.length_penalty)

    def _main_figure(self, codec: Any) -> str:
        return "loss"

    def _counts(self, codec: Any, examples: Sequence[Captioned], answers: Sequence[tuple[int, ...]]) -> dict[str, Any]:
        """Captions, those right to the last symbol, symbols, and the edits that turn the answers into the true captions."""
        truth = [tuple(codec.symbols(example).tolist()) for example in examples]
        right = sum(a == b for a, b in zip(truth, answers, strict=True))
        edits = sum(edit_distance(a, b) for a, b in zip(truth, answers, strict=True))
        return {"right": right, "captions": len(truth), "edits": edits, "symbols": sum(map(len, truth))}

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """The share of captions that are right to the last symbol, and the edits as a part of the true symbols."""
        rate = "character_error_rate" if self.level == "characters" else "word_error_rate"
        return {"exact_match": counts["right"] / counts["captions"], rate: counts["edits"] / counts["symbols"]}

    def _readable(self, codec: Any, example: Captioned, answer: tuple[int, ...]) -> str:
        return codec.vocabulary.decode(answer)

    def _shown(self, example: Captioned) -> str:
        return example.where


def _rows_of(memory: Memory, rows: NDArray[np.int64]) -> Memory:
    """The rows named of a memory."""
    code, state = memory
    index = torch.from_numpy(rows).to(code.device)
    return code[index], {name: part[:, index] for name, part in state.items()}


def _check_shape(example: Captioned, shape: tuple[int, ...]) -> None:
    if example.value.shape != shape:
        came = f"the shape {example.value.shape}"
        raise DataError(message(f"{example.where} is unlike the others", came=came, write=f"the shape {shape}"))
