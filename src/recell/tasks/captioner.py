"""A text for a vector or an image, one symbol after the other until it ends itself.

An encoder reads the whole, its code starts a recurrent decoder (Sutskever et al. 2014) and is fed to it at each step (Cho et al.
2014); images: Vinyals et al. 2015. Taught with the true symbol before each (Williams and Zipser 1989).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recell.data.captions import Captioned, CaptionFile, captioned_of, uncaptioned_of
from recell.data.drawing import generator_of
from recell.data.vocabulary import Level, Vocabulary, checked_level
from recell.decoding import Sampling, edit_distance
from recell.errors import ModelError, RecellError, is_whole, message
from recell.language.cell import Cell
from recell.tasks._captions import FEEDS, CaptionCodec, CaptionNetwork, Item
from recell.tasks._checks import check_choice
from recell.tasks._encoders import ENCODERS
from recell.tasks._layers import HiddenSize, Layers
from recell.tasks._scales import scale_in
from recell.tasks._sequence import SequenceTask, Source
from recell.tasks.base import named_file
from recell.training.loop import check_number

_SHOWN = 10  # mistakes that a report lists


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
        rows = self._asked(data, lambda batch: network.drawn(batch["values"], sampling, generator))
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
        rows = self._asked(data, lambda batch: network.beams(batch["values"], width, length_penalty))
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
        if not isinstance(shape, list) or not is_whole(longest, least=0) or not isinstance(words, dict):
            raise damaged
        sides = tuple(side for side in shape if is_whole(side, least=1))
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
