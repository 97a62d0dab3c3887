"""What a task on frames learns with: sequences as numbers, the network that foretells each next frame, and draws of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.frames import Piece
from recell.errors import DataError, message
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.tasks._layers import Layers
from recell.tasks._scales import Means, Moments, reduced, scaled
from recell.tasks._sequence import Batch, SequenceNetwork, Source, placed
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

    def __init__(self, kind: str, mean: Means, deviation: Values, rates: Values | None = None) -> None:
        self.kind, self.mean, self.deviation, self.width = kind, mean, deviation, len(mean)
        self.rates = rates

    @classmethod
    def learn(cls, kind: str, pieces: Source[Piece]) -> FrameCodec:
        """The width, and for real frames the scale, of the training frames."""
        width = next(iter(pieces)).frames.shape[1]
        codec, moments = cls(kind, np.zeros(width), np.ones(width, np.float32)), Moments()
        for piece in pieces:
            moments.add(codec.checked(piece))
        if kind == "binary":
            active = np.rint(moments.mean * moments.count)
            codec.rates = ((active + 0.5) / (moments.count + 1)).astype(np.float32)  # none is 0 or 1
            return codec
        return cls(kind, *moments.scale())

    def checked(self, piece: Piece) -> NDArray[Any]:
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


def probabilities(said: Values) -> Values:
    """Of each key, of logits."""
    return np.exp(-np.logaddexp(0, -said))  # overflows nowhere


def in_units(codec: FrameCodec, said: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation in the data's units."""
    mean, log_deviation = (part.numpy().astype(np.float64) for part in normal(torch.from_numpy(said)))
    scale = codec.deviation.astype(np.float64)
    return mean * scale + codec.mean, np.asarray(np.exp(log_deviation) * scale)


def drawn(network: FrameNetwork, codec: FrameCodec, prompt: Item, length: int,
          rng: np.random.Generator) -> Iterator[NDArray[Any]]:  # fmt: skip
    """Frames that follow the prompt, each drawn given all before it; real ones in the data's units, and in float64."""
    frames, state = codec.batch([prompt])["frames"], None
    for _ in range(length):
        said, state = network.foretold(placed({"frames": frames}, network)["frames"], state)
        last = said[-1, 0].cpu().numpy()
        if codec.kind == "binary":
            frame = (rng.random(codec.width) < 1 / (1 + np.exp(-last, dtype=np.float64))).astype(np.float32)
        else:
            mean, deviation = in_units(codec, last)
            frame = rng.normal(mean, deviation)
        yield frame
        frames = torch.from_numpy(reduced(frame, codec.mean, codec.deviation))[None, None]
