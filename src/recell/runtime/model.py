"""A saved model, loaded without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recell.data.vocabulary import Vocabulary
from recell.decoding.sample import Sampling
from recell.errors import DataError, ModelError, is_whole, message, whole
from recell.language.carried import CONNECTIONS
from recell.language.cell import Cell
from recell.runtime.network import Network, checked_backend, make_network
from recell.runtime.saved import CONFIG, SavedModel, read_saved
from recell.runtime.session import Session
from recell.runtime.writer import Writer

_TASKS = ("language_model",)


class Model:
    """A language model ready to run, by any number of sessions at once."""

    def __init__(self, network: Network, vocabulary: Vocabulary) -> None:
        if network.vocabulary_size != len(vocabulary):
            raise ModelError(
                f"the embedding has {network.vocabulary_size} rows, the vocabulary {len(vocabulary)}; the folder mixes two models"
            )
        self._network = network
        self.vocabulary = vocabulary

    @classmethod
    def of_parts(
        cls,
        cell: Cell,
        description: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        vocabulary: Vocabulary,
        *,
        backend: str = "cpu",
        dtype: str = "float32",
    ) -> Model:
        """A model of a cell, a config's ``network`` entry, its arrays and vocabulary."""
        checked_backend(backend)
        return cls(make_network(cell, description, tensors, backend=backend, dtype=dtype), vocabulary)

    @property
    def cell(self) -> Cell:
        """The recurrent cell."""
        return self._network.cell

    def session(self, streams: int = 1) -> Session:
        """Fresh state for ``streams`` parallel sequences."""
        return Session(self._network, streams)

    def writer(self, sampling: Sampling | None = None, seed: int | None = None) -> Writer:
        """Something that reads and writes text in turn, and remembers what stood before."""
        return Writer(self.session(), self.vocabulary, sampling or Sampling(), seed)

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
        """``length`` tokens of text that follow ``prompt``, without it. The same seed writes the same."""
        if not isinstance(prompt, str):
            raise DataError(message("a prompt is text", came=type(prompt).__name__, write='generate("")'))
        length = whole("length", length, least=0, rule="counts tokens, from 0", write="length=200", error=DataError)
        writer = self.writer(Sampling(temperature, top_k, top_p), seed)
        writer.read(prompt)
        return "".join(writer.write(length))

    def most_likely(self, prompt: str) -> str:
        """The most probable token after ``prompt``."""
        writer = self.writer(Sampling(temperature=0))
        writer.read(prompt)
        return next(writer.symbols(1))


def load(folder: str | Path, *, backend: str = "cpu", dtype: str = "float32") -> Model:
    """Load a model folder; raises ModelError in one line where anything is missing, damaged or does not verify.

    ``dtype`` is float32, float64, or bfloat16: products in bf16, sums and states in float32. ``backend`` is the native "cpu"
    kernel; where that is not to be had, name another ("reference"): none takes over by itself.
    """
    return of_saved(read_saved(folder), backend=backend, dtype=dtype)


def of_saved(saved: SavedModel, *, backend: str = "cpu", dtype: str = "float32") -> Model:
    """The model of a folder already read."""
    if saved.task not in _TASKS:
        raise ModelError(f"the runtime runs {', '.join(_TASKS)}; {saved.folder} was saved by the task {saved.task!r}")
    description = network_description(saved)
    cell, vocabulary = saved.cell(), saved.vocabulary()
    try:
        return Model.of_parts(cell, description, saved.tensors(), vocabulary, backend=backend, dtype=dtype)
    except ModelError as error:
        raise ModelError(f"{saved.folder}: {error}") from None


def network_description(saved: SavedModel) -> dict[str, Any]:
    """The ``network`` entry of config.json, every part of its right kind."""
    network = saved.entry("network", kind=dict)
    hidden: Any = saved.entry("network", "hidden_size", kind=list if isinstance(network.get("hidden_size"), list) else int)
    description: dict[str, Any] = {name: saved.entry("network", name, kind=int) for name in ("input_size", "num_layers")}
    sizes = saved.entry("network", "sizes", kind=dict)
    counts = [*sizes.values(), *(hidden if isinstance(hidden, list) else ())]
    fits = not isinstance(hidden, list) or len(hidden) == description["num_layers"]
    if description["num_layers"] < 1 or not fits or not all(is_whole(n, least=1) for n in counts):
        raise ModelError(f"{saved.folder / CONFIG} is damaged: its sizes are no counts")
    carried = {name: saved.entry("network", name, kind=bool) for name in CONNECTIONS}
    return {**description, "hidden_size": hidden, "sizes": dict(sizes), **carried}
