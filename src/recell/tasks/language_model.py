"""A recurrent language model of characters or words (Mikolov et al., "Recurrent neural network based
language model", 2010): it reads a text and says, after every token, how probable each next one is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from recell.data.batching import Streams
from recell.data.text import read_text
from recell.data.vocabulary import UNKNOWN, Level, Vocabulary, checked_level
from recell.errors import DataError, ModelError, RecellError, message
from recell.language.cell import Cell
from recell.runtime.model import Model, network_description
from recell.runtime.network import check_tensors
from recell.runtime.saved import TENSORS, SavedModel, tensors_bytes
from recell.tasks._checks import check_part
from recell.tasks._language import LanguageLearner, Network, nats_per_token
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._trained import METRICS, VOCABULARY, TrainedTask, arrays_of
from recell.training.metrics import read_records, records_bytes
from recell.training.progress import Progress, chosen

__all__ = ["LanguageLearner", "LanguageModel", "Network"]

Text = str | Path | Iterable[str]
_LONGEST_NAME = 4096  # of a file, in any system's characters


class LanguageModel(TrainedTask):
    """Learns a text's characters or words one after the other; measures, and writes text of its own.

    ``cell`` is a Cell or the name of one; ``level`` "characters" or "words"; ``embedding_size`` None is the
    smaller of ``hidden_size`` and 128. Training reads ``batch_size`` streams in windows of ``window``
    tokens, for ``steps`` windows or ``epochs`` passes (10 by default). The last ``validation_fraction`` of
    the text is held out; the weights that did best on it are kept, and ``patience`` validations without a
    better one end the training. ``plan`` sets further entries of ``recell.training.Plan``, such as
    ``{"clip": 0.5}``. ``modifiers`` such as ``["zoneout(h=0.1)"]`` are put on the cell. ``threads`` None leaves torch's number.

    ``hidden_size`` may be a list, a size for each layer. ``residual`` and ``highway`` carry a layer's input past it, from the
    second layer on; ``dropout`` drops units of the embedding, between layers and before the output layer, ``input_dropout``
    of the embedding at another rate, and ``variational`` the same units at all steps of a window: see `recell.nn.Recurrent`.
    """

    def __init__(
        self,
        *,
        cell: Cell | str = "LSTM",
        level: Level = "characters",
        hidden_size: HiddenSize = 256,
        num_layers: int = 1,
        embedding_size: int | None = None,
        sizes: Mapping[str, int] | None = None,
        modifiers: Sequence[str] = (),
        dropout: float = 0.0,
        batch_size: int = 32,
        window: int = 100,
        steps: int | None = None,
        epochs: int | None = None,
        optimizer: str = "adamw",
        learning_rate: float = 3e-3,
        minimum_count: int = 1,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        plan: Mapping[str, Any] | None = None,
        seed: int = 0,
        threads: int | None = None,
        device: str = "cpu",
        backend: str = "auto",
        residual: bool = False,
        highway: bool = False,
        input_dropout: float | None = None,
        variational: bool = False,
    ) -> None:
        self.cell = cell
        self.level: Level = level
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding_size = embedding_size
        self.sizes = sizes
        self.modifiers = modifiers
        self.dropout = dropout
        self.batch_size = batch_size
        self.window = window
        self.steps = steps
        self.epochs = epochs
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.minimum_count = minimum_count
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.plan = plan
        self.seed = seed
        self.threads = threads
        self.device = device
        self.backend = backend
        self.residual = residual
        self.highway = highway
        self.input_dropout = input_dropout
        self.variational = variational

    def fit(
        self,
        data: Text,
        *,
        validation: Text | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        progress: bool | Progress = True,
    ) -> Self:
        """Train on a UTF-8 text file, or on strings that are joined as they are.

        ``validation`` is another text to hold out. With ``out``, the folder gets checkpoints and metrics.jsonl while
        training goes on, and ``resume`` continues there with the very bits of a training never broken off, where the
        number of threads is the same; a line says where it is not. Other files may lie in the folder. Raises DataError
        for a text that cannot be used, RecellError for an option that cannot, ModelError for a checkpoint of another
        text or other options and for a folder with files that would be overwritten, KeyboardInterrupt after Ctrl-C,
        when the checkpoint is written.
        """
        cell, shown = self._check(), chosen(progress)
        text, held_out = self._texts(data, validation)
        if not held_out:
            self._check_patience("nothing is held out to validate on")
        vocabulary = Vocabulary.of_text(text, level=self.level, minimum_count=self.minimum_count)
        numbers = vocabulary.encode(text)
        streams = Streams(numbers, batch_size=self.batch_size, window=self.window, name=_name(data))
        held = vocabulary.encode(held_out) if held_out else None
        note = self._note(_fingerprint(numbers), _fingerprint(held))
        saved = self._earlier(out, resume, note, shown)
        with self._seeded():
            network = self._make_network(cell, len(vocabulary))
            learner = LanguageLearner(network, streams, held, unit=self.level, window=self.window)
            note["threads"] = torch.get_num_threads()
            outcome = self._train(learner, streams.windows_per_epoch, out=out, note=note, saved=saved, progress=shown)
        self.vocabulary_, self.network_, self.history_ = vocabulary, network, outcome.history
        self.steps_, self.stopped_early_ = outcome.step, outcome.stopped_early
        return self

    def evaluate(self, data: Text) -> dict[str, float]:
        """``nats_per_token``, ``bits_per_token``, ``perplexity`` and ``tokens`` of a whole text, read in one stream.

        Every token counts; ``unknown_tokens`` says how many the vocabulary does not have.
        """
        network, vocabulary = self._fitted()
        numbers = vocabulary.encode(_text(data))
        if not len(numbers):
            raise DataError(f"{_name(data)} has no {self.level}; give a text")
        with self._thread_count():
            nats = nats_per_token(network, numbers, window=self.window)
        return {
            "nats_per_token": nats,
            "bits_per_token": nats / math.log(2),
            "perplexity": math.exp(min(nats, 700.0)),
            "tokens": len(numbers),
            "unknown_tokens": int(np.count_nonzero(numbers == UNKNOWN)),
        }

    def score(self, data: Text, labels: None = None) -> float:
        """Minus the nats a token, the higher the better: what scikit-learn's searches compare, over lists of strings."""
        return -self.evaluate(data)["nats_per_token"]

    def predict(self, data: Iterable[str]) -> list[str]:
        """The most probable next token after each prompt of a list."""
        prompts, model = _strings(data, "predict takes a list of prompts"), self.runtime()
        return [model.most_likely(prompt) for prompt in prompts]

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str:
        """``length`` tokens of text that follow ``prompt``, without it."""
        return self.runtime().generate(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)

    def runtime(self, *, backend: str | None = None) -> Model:
        """The fitted model as ``recell.runtime`` runs it: without torch, step by step."""
        network, vocabulary = self._fitted()
        backend = backend or ("cpu" if self.backend in ("auto", "eager") else self.backend)
        return Model.of_parts(network.recurrent.cell, network.description, arrays_of(network), vocabulary, backend=backend)

    # -- saving and loading ----------------------------------------------------------------------------------

    def _saved_parts(self) -> tuple[dict[str, Any], dict[str, bytes], dict[str, bytes]]:
        network, vocabulary = self._fitted()
        described = {
            "vocabulary": VOCABULARY,
            "embedding_size": network.description["input_size"],
            "network": {"cell": network.recurrent.cell.to_json(), **network.description},
            "trained": {"steps": self.steps_, "stopped_early": self.stopped_early_},
        }
        files = {TENSORS: tensors_bytes(arrays_of(network)), VOCABULARY: vocabulary.to_bytes()}
        return described, files, {METRICS: records_bytes(self.history_)}

    def _restore(self, saved: SavedModel) -> None:
        cell, vocabulary, description = saved.cell(), saved.vocabulary(), network_description(saved)
        tensors = saved.tensors()
        check_tensors(cell, description, tensors, len(vocabulary))
        own = {name: value for name, value in description.items() if name != "input_size"}  # the layers, as they were saved
        network = Network(cell, len(vocabulary), replace(Layers.of(self), **own), embedding_size=description["input_size"])
        network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
        self.vocabulary_, self.network_ = vocabulary, network  # on the CPU, wherever it was trained
        self.steps_ = saved.entry("trained", "steps", kind=int)
        self.stopped_early_ = saved.entry("trained", "stopped_early", kind=bool)
        self.history_ = read_records(saved.folder / METRICS)

    def _fitted(self) -> tuple[Network, Vocabulary]:
        if not hasattr(self, "network_"):
            raise ModelError("this LanguageModel is not trained yet; call fit(...), or load(...) a saved one")
        return self.network_, self.vocabulary_

    # -- what fit is made of ---------------------------------------------------------------------------------

    def _check(self) -> Cell:
        """Refuse what cannot be, before anything is read or written; the cell."""
        cell = self._check_shared(("batch_size", "window", "minimum_count"), ("embedding_size",))
        check_part("validation_fraction", self.validation_fraction, "a part of the text", 0.1)
        checked_level(self.level)
        return cell

    def _texts(self, data: Text, validation: Text | None) -> tuple[str, str]:
        """The text to train on and the text held out."""
        text = _text(data)
        if validation is not None:
            return text, _text(validation)
        if self.validation_fraction == 0:
            return text, ""
        cut = len(text) - int(len(text) * self.validation_fraction)
        return text[:cut], text[cut:]

    def _make_network(self, cell: Cell, vocabulary_size: int) -> Network:
        layers = Layers.of(self)
        width = self.embedding_size or min(layers.hidden_sizes[0], 128)
        try:
            network = Network(cell, vocabulary_size, layers, embedding_size=width)
        except RuntimeError as error:  # torch's own, such as memory that is not there
            raise RecellError(message(f"the network cannot be made: {error}", write="a smaller hidden_size")) from None
        return self._placed(network)


def _fingerprint(numbers: NDArray[np.int64] | None) -> str:
    """What a checkpoint knows a text by."""
    return hashlib.sha256(b"" if numbers is None else numbers.tobytes()).hexdigest()


def _text(data: Text) -> str:
    if isinstance(data, (str, Path)):
        if "\n" in str(data) or len(str(data)) > _LONGEST_NAME:
            raise DataError(message("a str is a file's name", came=f"a text of {len(str(data)):,} characters", write="[text]"))
        return read_text(data)
    return "".join(_strings(data, "a text is a file's name, or strings that are joined"))


def _strings(data: Any, what: str) -> list[str]:
    parts = list(data) if isinstance(data, Iterable) else [data]
    if isinstance(data, str) or not all(isinstance(part, str) for part in parts):
        raise DataError(message(what, came=f"{data!r:.40}", write='["first text", "second text"]'))
    return parts


def _name(data: Text) -> str:
    return str(data) if isinstance(data, (str, Path)) else "the text"
