"""What comes next in a sequence of frames: the keys of a piece of music, or the values of a sensor.

The language model's sibling for numbers. Binary frames: a probability for each key on its own, given all frames before
(Boulanger-Lewandowski et al. 2012, Bai et al. 2018). Real ones: a normal distribution for each feature on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.drawing import generator_of
from recell.data.frames import FrameFile, sequences_of
from recell.data.frames import Sequence as Piece
from recell.decoding import Sampling
from recell.errors import DataError, ModelError, RecellError, ShapeError, message
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.tasks._checks import check_choice
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._scales import scale_in, scale_of, scaled
from recell.tasks._sequence import Batch, SequenceNetwork, SequenceTask, Source, placed
from recell.tasks.base import named_file
from recell.training import Loss

Values = NDArray[np.float32]
KINDS = ("binary", "real")
_NARROWEST = 1e-3  # of a normal distribution, in deviations of the training frames: a density may not grow without end


@dataclass(frozen=True)
class Item:
    """A sequence as the network reads it, (T, C)."""

    frames: Values


class FrameCodec:
    """Frames of one width; real ones minus the training frames' `mean` (C,), divided by their `deviation` (C,).

    `rates` (C,): how often each key is active, from which a fresh output layer starts; known in training alone.
    """

    unit = "steps"

    def __init__(self, kind: str, mean: Values, deviation: Values, rates: Values | None = None) -> None:
        self.kind, self.mean, self.deviation, self.width = kind, mean, deviation, len(mean)
        self.rates = rates

    @classmethod
    def learn(cls, kind: str, pieces: Source[Piece]) -> FrameCodec:
        """The width, and for real frames the scale, of the training frames."""
        width = next(iter(pieces)).frames.shape[1]
        codec = cls(kind, np.zeros(width, np.float32), np.ones(width, np.float32))
        count, total, squares = 0, np.zeros(width), np.zeros(width)
        for piece in pieces:
            steps = codec.checked(piece).astype(np.float64)
            count, total, squares = count + len(steps), total + steps.sum(0), squares + (steps**2).sum(0)
        mean, square = total / count, squares / count
        if kind == "binary":
            codec.rates = ((total + 0.5) / (count + 1)).astype(np.float32)  # none is 0 or 1
            return codec
        return cls(kind, *scale_of(mean, square))

    def checked(self, piece: Piece) -> Values:
        """Its frames; DataError where they are not of this width and kind."""
        if piece.frames.shape[1] != self.width:
            came = f"{piece.frames.shape[1]} values in each"
            raise DataError(message(f"{piece.where} has frames unlike the others", came=came, write=f"(T, {self.width})"))
        if self.kind == "binary" and not ((piece.frames == 0) | (piece.frames == 1)).all():
            odd = piece.frames[(piece.frames != 0) & (piece.frames != 1)][0]
            raise DataError(message(f"{piece.where}: a binary frame holds 0 and 1 alone", came=odd, write="values='real'"))
        return piece.frames

    def encode(self, example: Piece, *, labelled: bool) -> Item:
        frames = self.checked(example)
        if labelled and len(frames) < 2:
            raise DataError(message(f"{example.where} has nothing to foretell", came="one frame", write="two frames or more"))
        return Item(scaled(frames, self.mean, self.deviation, example.where))

    def length(self, item: Item) -> int:
        return len(item.frames)

    def batch(self, items: Sequence[Item]) -> Batch:
        frames = np.zeros((max(len(item.frames) for item in items), len(items), self.width), np.float32)
        for n, item in enumerate(items):
            frames[: len(item.frames), n] = item.frames
        return {"frames": torch.from_numpy(frames), "lengths": torch.tensor([len(item.frames) for item in items])}

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "mean": self.mean.tolist(), "deviation": self.deviation.tolist()}


class FrameNetwork(SequenceNetwork):
    """Recurrent -> dropout -> linear: a logit for each key, or a mean and the log of a deviation for each feature."""

    def __init__(self, cell: Cell, codec: FrameCodec, layers: Layers, *, transpose: int) -> None:
        super().__init__()
        self.kind, self.transpose = codec.kind, transpose
        outputs = codec.width * (1 if codec.kind == "binary" else 2)
        self.recurrent = layers.make(cell, codec.width, outputs, reads="values of a frame")
        self.dropout = Dropout(0.0 if cell.brings_output else layers.dropout)
        self.output = nn.Identity() if cell.brings_output else nn.Linear(self.recurrent.output_size, outputs)
        if isinstance(self.output, nn.Linear) and codec.rates is not None:
            self.output.bias.data = torch.from_numpy(codec.rates).logit()
        self.register_buffer("scale", torch.from_numpy(codec.deviation), persistent=False)

    def foretold(self, frames: Tensor, state: Mapping[str, Tensor] | None = None, lengths: Tensor | None = None) -> Any:
        """What each frame's follower is expected to be, (T, N, outputs), and the state after them."""
        y, after = self.recurrent(frames, state, lengths=lengths)
        return self.output(self.dropout(y)), after

    def loss(self, batch: Batch) -> Loss:
        frames, lengths = batch["frames"], batch["lengths"] - 1
        if self.training and self.transpose:
            frames = transposed(frames, self.transpose)
        said, _ = self.foretold(frames[:-1], lengths=lengths)
        counts = torch.arange(len(said), device=said.device)[:, None] < lengths
        total = self.surprise(said, frames[1:])[counts].sum()
        return Loss(total / counts.sum(), int(counts.sum()))

    def surprise(self, said: Tensor, frames: Tensor) -> Tensor:
        """Minus the log probability (or density, in the data's units) of frames (..., C): (...,)."""
        if self.kind == "binary":
            return functional.binary_cross_entropy_with_logits(said, frames, reduction="none").sum(-1)
        mean, log_deviation = normal(said)
        scale: Tensor = self.scale  # type: ignore[assignment]
        away = (frames - mean) / log_deviation.exp()
        return (away**2 / 2 + log_deviation + scale.log() + math.log(2 * math.pi) / 2).sum(-1)

    def answer(self, batch: Batch) -> list[Values]:
        said = self.foretold(batch["frames"], lengths=batch["lengths"])[0].cpu().numpy()
        return [said[:length, n] for n, length in enumerate(batch["lengths"].tolist())]


class Frames(SequenceTask[Piece, Item]):
    """Learns what frame follows those before it: binary ones, such as the keys of music, or real ones.

    Data: a JSON-lines file (`data.frames.FrameFile`; ``FILE#train`` takes the lines of that split), a list of arrays (T, C), or
    an array (N, T, C). ``values`` "binary" or "real"; ``keys``: how many there are where a file lists the active ones. The
    first frame of a sequence is given, each later one is foretold: ``nll_per_step`` is their mean negative log probability in
    nats, summed over keys or features. ``transpose=k`` shifts each training sequence by -k to k keys, drawn
    anew each time; keys beyond the ends are lost. ``stream=True`` reads a file anew each epoch in place of keeping it.

    ``hidden_size`` may be a list, a size for each layer. Between layers: ``residual`` or ``highway``, ``dropout``; before the
    first ``input_dropout``; ``variational`` drops the same units at all steps (`recell.nn.Recurrent`).
    """

    def __init__(self, *, cell: Cell | str = "LSTM", hidden_size: HiddenSize = 128, num_layers: int = 1,
                 sizes: Mapping[str, int] | None = None, modifiers: Sequence[str] = (), values: str = "binary", keys: int = 88,
                 dropout: float = 0.3, input_dropout: float | None = 0.0, variational: bool = False, residual: bool = False,
                 highway: bool = False, transpose: int = 0,
                 batch_size: int = 16, steps: int | None = None, epochs: int | None = None, optimizer: str = "adamw",
                 learning_rate: float = 3e-3, validation_fraction: float = 0.1, patience: int | None = None,
                 plan: Mapping[str, Any] | None = None, seed: int = 0, threads: int | None = None, device: str = "cpu",
                 backend: str = "auto", stream: bool = False) -> None:  # fmt: skip
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.sizes = sizes
        self.modifiers = modifiers
        self.values = values
        self.keys = keys
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.variational = variational
        self.residual = residual
        self.highway = highway
        self.transpose = transpose
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

    def generate(self, prompt: Any, length: int, *, seed: int | np.random.Generator | None = None) -> Values:
        """``length`` frames (length, C) that follow the frames of ``prompt`` (T, C); the same seed draws the same ones."""
        network, codec = self._fitted()
        assert isinstance(network, FrameNetwork) and isinstance(codec, FrameCodec)
        [piece] = sequences_of([prompt])
        if isinstance(length, bool) or length < 0:
            raise ShapeError(message("length counts frames", came=repr(length), write="length=64"))
        network.eval()
        with self._thread_count(), torch.no_grad():
            drawn = list(_drawn(network, codec, codec.encode(piece, labelled=False), length, generator_of(seed)))
        return np.array(drawn, np.float32).reshape(length, codec.width)

    def draws(self, path: str | Path | None, *, length: int | None, sampling: Sampling,
              seed: int | None) -> Iterator[tuple[str, Any]]:
        if sampling != Sampling():
            raise RecellError(message("frames are drawn as learnt", came="a temperature, top_k or top_p", write="none of them"))
        generator = generator_of(seed)
        return ((piece.where, self.generate(piece.frames, 200 if length is None else length, seed=generator).tolist())
                for piece in self._unlabelled(named_file(path, self)))  # fmt: skip

    def answers(self, path: str | Path) -> Iterator[tuple[str, Any]]:
        return ((asked, answer.tolist()) for asked, answer in super().answers(path))

    # -- what a task on sequences says -------------------------------------------------------------------------

    def _check(self) -> Cell:
        cell = self._check_sequence(("keys",))
        check_choice("kind of values", self.values, KINDS)
        if isinstance(self.transpose, bool) or not isinstance(self.transpose, int) or self.transpose < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RecellError(message("transpose counts keys, from 0", came=repr(self.transpose), write="transpose=5"))
        if self.transpose and self.values == "real":
            raise RecellError(message("only keys can be transposed", came="values='real'", write="transpose=0"))
        return cell

    def _labelled(self, data: Any, labels: Any) -> Source[Piece]:
        if labels is not None:
            raise DataError(message("frames are their own labels", came="labels beside them", write="the sequences alone"))
        return self._file(data) if isinstance(data, (str, Path)) else list(sequences_of(data))

    def _unlabelled(self, data: Any) -> Iterable[Piece]:
        return self._file(data) if isinstance(data, (str, Path)) else sequences_of(data)

    def _file(self, path: str | Path) -> FrameFile:
        return FrameFile(path, keys=self.keys)

    def _learn_codec(self, examples: Source[Piece]) -> FrameCodec:
        return FrameCodec.learn(self.values, examples)

    def _codec_of(self, described: Mapping[str, Any]) -> FrameCodec:
        damaged = ModelError("config.json is damaged: the codec has no mean and deviation; save the model again")
        mean, deviation = scale_in(described, damaged)
        if mean.ndim != 1 or described.get("kind") not in KINDS:
            raise damaged
        return FrameCodec(described["kind"], mean, deviation)

    def _build(self, cell: Cell, codec: Any) -> FrameNetwork:
        return FrameNetwork(cell, codec, Layers.of(self), transpose=self.transpose)

    def _main_figure(self, codec: Any) -> str:
        return "loss"

    def _counts(self, codec: Any, examples: Sequence[Piece], answers: Sequence[Values]) -> dict[str, Any]:
        """Nats and steps; of binary frames the keys that sound and are foretold, and those that do either; of real ones the
        squared error."""
        steps = sum(len(said) - 1 for said in answers)
        pairs = [(said[:-1], piece.frames[1:]) for said, piece in zip(answers, examples, strict=True)]
        if codec.kind == "binary":
            nats = sum(np.logaddexp(0, np.where(truth > 0, -said, said), dtype=np.float64).sum() for said, truth in pairs)
            both = sum(((said > 0) & (truth > 0)).sum() for said, truth in pairs)
            either = sum(((said > 0) | (truth > 0)).sum() for said, truth in pairs)
            return {"nats": nats, "steps": steps, "both": both, "either": either}
        parts = [(_in_units(codec, said), truth.astype(np.float64)) for said, truth in pairs]
        nats = sum((((truth - mean) / deviation) ** 2 / 2 + np.log(deviation * math.sqrt(2 * math.pi))).sum()
                   for (mean, deviation), truth in parts)
        square = sum(((truth - mean) ** 2).sum() for (mean, _), truth in parts)
        return {"nats": nats, "steps": steps, "square": square}

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """Nats per foretold frame; for binary frames, the share of the keys that sound or are foretold that are both
        (frame accuracy, Bay et al. 2009), for real ones the root mean square error."""
        nll = {"nll_per_step": float(counts["nats"] / counts["steps"])}
        if codec.kind == "binary":
            return nll | {"frame_accuracy": float(counts["both"] / max(counts["either"], 1))}
        return nll | {"rmse": math.sqrt(counts["square"] / (counts["steps"] * codec.width))}

    def _readable(self, codec: Any, example: Piece, answer: Values) -> Values:
        """The frame expected after the last, (C,): probabilities, or the mean."""
        last = answer[-1]
        return 1 / (1 + np.exp(-last)) if codec.kind == "binary" else _in_units(codec, last)[0].astype(np.float32)

    def _shown(self, example: Piece) -> str:
        return example.where


def transposed(frames: Tensor, most: int) -> Tensor:
    """Frames (T, N, C) with each of the N sequences shifted by a number of keys drawn from -most to most."""
    width = frames.shape[2]
    shifts = torch.randint(-most, most + 1, (frames.shape[1], 1), device=frames.device)
    source = torch.arange(width, device=frames.device) - shifts  # (N, C)
    inside = (source >= 0) & (source < width)
    return frames.gather(2, source.clamp(0, width - 1).expand_as(frames)) * inside


def normal(said: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log deviation of normal distributions, of (..., 2 C)."""
    mean, log_deviation = said.chunk(2, -1)
    return mean, log_deviation.clamp(min=math.log(_NARROWEST))


def _in_units(codec: FrameCodec, said: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation in the data's units."""
    mean, log_deviation = (part.numpy().astype(np.float64) for part in normal(torch.from_numpy(said)))
    scale = codec.deviation.astype(np.float64)
    return mean * scale + codec.mean, np.asarray(np.exp(log_deviation) * scale)


def _drawn(network: FrameNetwork, codec: FrameCodec, prompt: Item, length: int, rng: np.random.Generator) -> Iterator[Values]:
    """Frames that follow the prompt, each drawn given all before it."""
    frames, state = codec.batch([prompt])["frames"], None
    for _ in range(length):
        said, state = network.foretold(placed({"frames": frames}, network)["frames"], state)
        last = said[-1, 0].cpu().numpy()
        if codec.kind == "binary":
            frame = (rng.random(codec.width) < 1 / (1 + np.exp(-last, dtype=np.float64))).astype(np.float32)
        else:
            mean, deviation = _in_units(codec, last)
            frame = rng.normal(mean, deviation).astype(np.float32)
        yield frame
        frames = torch.from_numpy((frame - codec.mean) / codec.deviation)[None, None]
