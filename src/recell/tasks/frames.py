"""What comes next in a sequence of frames: the keys of a piece of music, or the values of a sensor.

The language model's sibling for numbers. Binary frames: a probability for each key on its own, given all frames before
(Boulanger-Lewandowski et al. 2012, Bai et al. 2018). Real ones: a normal distribution for each feature on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recell.data.drawing import generator_of
from recell.data.frames import FrameFile, Piece, sequences_of
from recell.decoding import Sampling
from recell.errors import DataError, ModelError, RecellError, message, whole
from recell.language.cell import Cell
from recell.tasks import _frame_scores
from recell.tasks._checks import check_choice
from recell.tasks._frames import KINDS, FrameCodec, FrameNetwork, Item, Values, drawn, in_units, probabilities
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._scales import scale_in
from recell.tasks._sequence import SequenceTask, Source
from recell.tasks.base import named_file


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

    def generate(self, prompt: Any, length: int, *, seed: int | np.random.Generator | None = None) -> NDArray[Any]:
        """``length`` frames (length, C), real ones in float64, that follow the frames of ``prompt`` (T, C); the same seed draws
        the same ones."""
        network, codec = self._fitted()
        assert isinstance(network, FrameNetwork) and isinstance(codec, FrameCodec)
        [piece] = sequences_of([prompt])
        length = whole("length", length, least=0, rule="counts frames", write="length=64")
        network.eval()
        with self._thread_count(), torch.no_grad():
            found = list(drawn(network, codec, codec.encode(piece, labelled=False), length, generator_of(seed)))
        return np.array(found, np.float32 if codec.kind == "binary" else np.float64).reshape(length, codec.width)

    def predict_proba(self, data: Any) -> list[Values]:
        """Of each sequence, (T, C): in row t, the probability of each key in the frame that follows the first t + 1 frames. The
        last row is what `predict` gives. RecellError for real frames, which have a density: `predict_normal`."""
        if self.values != "binary":
            raise RecellError(message("real frames have no probabilities", came="values='real'", write="predict_normal(data)"))
        return [probabilities(said) for said in self._asked(data)]

    def predict_normal(self, data: Any) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Of each sequence, (T, C) twice: in row t, mean and deviation of each feature in the frame that follows the first t + 1
        frames, in the data's units. RecellError for binary frames: `predict_proba`."""
        if self.values != "real":
            raise RecellError(message("keys have probabilities", came="values='binary'", write="predict_proba(data)"))
        codec = self._codec()
        return [in_units(codec, said) for said in self._asked(data)]

    def report(self, data: Any, labels: Any = None) -> str:
        """Of each key precision, recall, F1 and nats, of each feature nats and errors (`_frame_scores.report`)."""
        network, codec = self._fitted()
        with self._thread_count():
            sums, _ = self._summed(network, codec, self._labelled(data, labels))
        return _frame_scores.report(self._codec().kind, sums)

    def draws(self, path: str | Path | None, *, length: int | None, sampling: Sampling,
              seed: int | None) -> Iterator[tuple[str, Any]]:
        if sampling != Sampling():
            raise RecellError(message("frames are drawn as learnt", came="a temperature, top_k or top_p", write="none of them"))
        generator = generator_of(seed)
        return ((piece.where, self.generate(piece.frames, 200 if length is None else length, seed=generator).tolist())
                for piece in self._unlabelled(named_file(path, self)))  # fmt: skip

    def answers(self, path: str | Path) -> Iterator[tuple[str, Any]]:
        return ((asked, answer.tolist()) for asked, answer in super().answers(path))

    def _codec(self) -> FrameCodec:
        codec = self._fitted()[1]
        assert isinstance(codec, FrameCodec)
        return codec

    # -- what a task on sequences says -------------------------------------------------------------------------

    def _check(self) -> Cell:
        cell = self._check_sequence(("keys",))
        check_choice("kind of values", self.values, KINDS)
        whole("transpose", self.transpose, least=0, rule="counts keys, from 0", write="transpose=5", error=RecellError)
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
        """Of each key or feature (`_frame_scores.counts`)."""
        pairs = zip(answers, examples, strict=True)
        return _frame_scores.counts(codec, ((said[:-1], piece.frames[1:]) for said, piece in pairs))

    def _figures(self, codec: Any, counts: Mapping[str, Any]) -> dict[str, float]:
        """Nats per foretold frame; frame accuracy, or the root mean square error."""
        return _frame_scores.figures_of(codec.kind, counts)

    def _readable(self, codec: Any, example: Piece, answer: Values) -> NDArray[Any]:
        """The frame expected after the last, (C,): probabilities, or the mean."""
        last = answer[-1]
        return probabilities(last) if codec.kind == "binary" else in_units(codec, last)[0]

    def _shown(self, example: Piece) -> str:
        return example.where
