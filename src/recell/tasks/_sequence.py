"""What the tasks on separate sequences share: labelled examples in, buckets of like length, a network, answers in order.

A task of this kind says how its data is read (`_labelled`, `_unlabelled`), what is learnt from the examples before training
(`_learn_codec`: vocabularies, labels, scales), what its network is (`_build`), and how answers are measured (`_figures`).
Training, early stopping, resuming, batching, saving and streaming follow.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from recell.data.buckets import Buckets, Source, in_batches, in_windows
from recell.errors import DataError, ModelError, RecellError, message
from recell.language.cell import Cell
from recell.runtime.saved import CONFIG, TENSORS, SavedModel, tensors_bytes
from recell.tasks._checks import check_count, check_flag, check_part
from recell.tasks._trained import METRICS, TrainedTask, arrays_of
from recell.training import Loss
from recell.training.metrics import read_records, records_bytes
from recell.training.progress import Progress, chosen

Example = TypeVar("Example")  # what the user gives: words and tags, say
Example_contra = TypeVar("Example_contra", contravariant=True)
Item = TypeVar("Item")  # an example as numbers
Batch = dict[str, Tensor]
Answer = Any
Ask = Callable[[Batch], Sequence[Any]]  # something for each row of a batch
WINDOW = 1024  # examples that are read at a time where nobody waits for the first answer: like lengths meet in batches
_FLAGS = ("kinds", "lowercase", "stream")  # options of most tasks


class Codec(Protocol[Example_contra, Item]):
    """Turns examples into numbers; what it has learnt from the training examples is data."""

    unit: str  # what the loss counts, in the plural: words, sentences

    def encode(self, example: Example_contra, *, labelled: bool) -> Item:
        """The example as numbers; DataError for a label that training never saw."""
        ...

    def length(self, item: Item) -> int:
        """How many steps it has."""
        ...

    def batch(self, items: Sequence[Item]) -> Batch:
        """Tensors of some items together, padded."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The codec as data; its class's `from_json` reads it."""
        ...


class SequenceNetwork(nn.Module, ABC):
    """What a task on sequences trains."""

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The mean loss of a batch, and over how many."""

    @abstractmethod
    def answer(self, batch: Batch) -> list[Answer]:
        """One answer for each row, in the network's numbers."""


class Encoded(Generic[Example, Item]):
    """A source read anew every time, as numbers: the examples of a file that need not fit into memory."""

    def __init__(self, examples: Source[Example], codec: Codec[Example, Item]) -> None:
        self._examples, self._codec = examples, codec

    def __iter__(self) -> Iterator[Item]:
        return (self._codec.encode(example, labelled=True) for example in self._examples)

    def __len__(self) -> int:
        return len(self._examples)


class SequenceLearner(Generic[Example, Item]):
    """A network and its buckets, as ``recell.training.Training`` wants them."""

    def __init__(self, task: SequenceTask[Example, Item], network: SequenceNetwork, codec: Codec[Example, Item],
                 buckets: Buckets[Item], held: Source[Example]) -> None:
        self.module: nn.Module = network
        self.unit = codec.unit
        self._task, self._network, self._codec, self._buckets, self._held = task, network, codec, buckets, held

    def next_loss(self) -> Loss:
        return self._network.loss(placed(self._codec.batch(self._buckets.next()), self._network))

    def epoch(self) -> float:
        return self._buckets.epoch

    def figures(self, loss: float) -> Mapping[str, float]:
        return {}

    def validate(self) -> Mapping[str, float] | None:
        return self._task._measure(self._network, self._codec, self._held) if len(self._held) else None  # pyright: ignore[reportPrivateUsage]

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        return {}, {"position": self._buckets.position}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self._buckets.position = int(values["position"])


class SequenceTask(TrainedTask, Generic[Example, Item]):
    """A task on separate sequences: fit, predict, evaluate, score, save, load; an estimator for scikit-learn's searches."""

    batch_size: int
    validation_fraction: float
    backend: str
    _best_by: str = "loss"  # the main figure, once the data is known

    # -- what a task says ------------------------------------------------------------------------------------

    @abstractmethod
    def _check(self) -> Cell:
        """Refuse options that cannot be (`_check_sequence`, and the task's own); the cell."""

    @abstractmethod
    def _labelled(self, data: Any, labels: Any) -> Source[Example]:
        """The examples of a file, or of data and its labels; a list, or a source that is read anew each time."""

    @abstractmethod
    def _unlabelled(self, data: Any) -> Iterable[Example]:
        """What `predict` is asked."""

    @abstractmethod
    def _learn_codec(self, examples: Source[Example]) -> Codec[Example, Item]:
        """Vocabularies, labels and scales of the training examples."""

    @abstractmethod
    def _codec_of(self, described: Mapping[str, Any]) -> Codec[Example, Item]:
        """The codec out of its data; ModelError where the data is none."""

    @abstractmethod
    def _build(self, cell: Cell, codec: Codec[Example, Item]) -> SequenceNetwork:
        """A network with fresh weights."""

    def _check_measurable(self, codec: Codec[Example, Item]) -> None:
        """RecellError where a package is missing that the figures need: asked before a training that is validated."""

    @abstractmethod
    def _counts(self, codec: Codec[Example, Item], examples: Sequence[Example], answers: Sequence[Answer]) -> Mapping[str, Any]:
        """What the figures are made of: sums over examples of their answers (in the network's numbers) beside the truth, numbers
        or arrays; those of one window of the data are added to those of the next."""

    @abstractmethod
    def _figures(self, codec: Codec[Example, Item], counts: Mapping[str, Any]) -> dict[str, float]:
        """The task's figures of such sums over all examples."""

    @abstractmethod
    def _main_figure(self, codec: Codec[Example, Item]) -> str:
        """The figure that `score` returns and that chooses the best step: the higher the better, or "loss", the lower."""

    @abstractmethod
    def _readable(self, codec: Codec[Example, Item], example: Example, answer: Answer) -> Any:
        """An answer as `predict` gives it."""

    # -- what the base does -----------------------------------------------------------------------------------

    def fit(self, data: Any, labels: Any = None, *, validation: Any = None, out: str | Path | None = None,
            resume: bool = False, progress: bool | Progress = True) -> Self:
        """Train on a file, or on examples and their labels.

        ``validation`` is data to hold out, a file or (examples, labels); without it ``validation_fraction`` of the examples,
        drawn by the seed. The weights that did best on it are kept. With ``out``, the folder gets checkpoints and
        metrics.jsonl while training goes on, and ``resume`` continues there with the very bits of a training never broken off.
        ``progress`` False prints nothing; in scikit-learn ``cross_val_score(task, x, y, params={"progress": False})``.
        Raises DataError for data that cannot be used, RecellError for an option that cannot, ModelError for a checkpoint of
        other data or options, KeyboardInterrupt after Ctrl-C, when the checkpoint is written.
        """
        cell, shown = self._check(), chosen(progress)
        examples, held = self._split(self._kept(self._labelled(data, labels)), validation)
        if not len(held):
            self._say_unvalidated(shown, drawn=bool(self.validation_fraction) and validation is None)
        codec = self._learn_codec(examples)
        items: Source[Item] = Encoded(examples, codec)
        if isinstance(examples, Sequence):
            items = list(items)
        if len(held):
            self._check_measurable(codec)
        self._best_by = self._main_figure(codec)
        buckets = Buckets(items, codec.length, batch_size=self.batch_size, seed=self.seed)
        held_items = (codec.encode(example, labelled=True) for example in held)
        note = self._note(fingerprint(items), fingerprint(held_items))
        saved = self._earlier(out, resume, note, shown)
        with self._seeded():
            network = self._placed(self._build(cell, codec))
            learner = SequenceLearner(self, network, codec, buckets, held)
            note["threads"] = torch.get_num_threads()
            outcome = self._train(learner, buckets.steps_per_epoch, out=out, note=note, saved=saved, progress=shown)
        self.cell_, self.codec_, self.network_, self.history_ = cell, codec, network, outcome.history
        self.steps_, self.stopped_early_ = outcome.step, outcome.stopped_early
        return self

    def predict(self, data: Any, *, window: int | None = None) -> Any:
        """An answer for every example, in order: a list, or for an iterator another one that reads as it is asked.

        ``window`` examples are read and answered together: by default ``batch_size`` of an iterator, else 1024. The first answer
        waits for so many: ``window=1`` where an iterator's examples come one by one.
        """
        network, codec = self._fitted()
        streams = isinstance(data, Iterator)
        if window is None:
            window = self.batch_size if streams else WINDOW
        check_count("window", window)
        answers = (answer for _, answer in self._predicted(network, codec, self._unlabelled(data), window))
        return answers if streams else list(answers)

    def answers(self, path: str | Path) -> Iterator[tuple[str, Any]]:
        """Each example of a file without labels, as `_shown`, and the answer to it; read as it is asked."""
        network, codec = self._fitted()
        found = self._predicted(network, codec, self._unlabelled(Path(path)), WINDOW)
        return ((self._shown(example), answer) for example, answer in found)

    def evaluate(self, data: Any, labels: Any = None) -> dict[str, float]:
        """The task's figures on a file, which may be larger than memory, or on examples and their labels."""
        network, codec = self._fitted()
        with self._thread_count():
            return self._measure(network, codec, self._labelled(data, labels))

    def score(self, data: Any, labels: Any = None) -> float:
        """The task's main figure, the higher the better (minus the loss): what scikit-learn's searches compare."""
        name = self._main_figure(self._fitted()[1])
        figure = self.evaluate(data, labels)[name]
        return -figure if name == "loss" else figure

    def _predicted(self, network: SequenceNetwork, codec: Codec[Example, Item], examples: Iterable[Example],
                   window: int) -> Iterator[tuple[Example, Any]]:  # fmt: skip
        for part in in_windows(examples, window):
            with self._thread_count():
                answers, _, _ = self._answers(network, codec, part, labelled=False)
            for example, answer in zip(part, answers, strict=True):
                yield example, self._readable(codec, example, answer)

    def _measure(self, network: SequenceNetwork, codec: Codec[Example, Item], examples: Iterable[Example], *,
                 labelled: bool = True) -> dict[str, float]:  # fmt: skip
        """The loss (if not `labelled`: 0) and the figures."""
        sums, loss = self._summed(network, codec, examples, labelled=labelled)
        return {"loss": loss, **self._figures(codec, sums)}

    def _summed(self, network: SequenceNetwork, codec: Codec[Example, Item], examples: Iterable[Example], *,
                labelled: bool = True) -> tuple[dict[str, Any], float]:  # fmt: skip
        """The sums of `_counts`, and the mean loss (if not `labelled`: 0); of the examples, one window at a time is in memory."""
        sums, total, count = dict[str, Any](), 0.0, 0
        for part, answers, loss, weight in self._answered(network, codec, examples, labelled=labelled):
            total, count = total + loss, count + weight
            for name, number in self._counts(codec, part, answers).items():
                sums[name] = sums[name] + number if name in sums else number
        if not sums:
            raise DataError("there is nothing to measure; came no example")
        return sums, total / max(count, 1)

    def _answered(self, network: SequenceNetwork, codec: Codec[Example, Item],
                  examples: Iterable[Example], *,
                  labelled: bool = True) -> Iterator[tuple[list[Example], list[Answer], float, int]]:  # fmt: skip
        """Labelled examples, a window at a time, with what `_answers` says of it."""
        for part in in_windows(examples, WINDOW):
            yield part, *self._answers(network, codec, part, labelled=labelled)

    def _asked(self, data: Any, ask: Ask | None = None) -> Iterator[Any]:
        """What the network answers, or `ask` says, of each example without labels, in order, as it is read."""
        network, codec = self._fitted()
        for part in in_windows(self._unlabelled(data), WINDOW):
            with self._thread_count():
                answers, *_ = self._answers(network, codec, part, labelled=False, ask=ask)
            yield from answers

    def _answers(self, network: SequenceNetwork, codec: Codec[Example, Item], examples: Sequence[Example], *,
                 labelled: bool, ask: Ask | None = None) -> tuple[list[Answer], float, int]:  # fmt: skip
        """An answer for each example, in order: the network's, or what `ask` says of a batch; where there are labels, the loss
        of all together, and of how many."""
        was_training = network.training
        network.eval()
        items = [codec.encode(example, labelled=labelled) for example in examples]
        answers: list[Answer] = [None] * len(items)
        total, count = 0.0, 0
        with torch.no_grad():
            for places, part in in_batches(items, codec.length, max(self.batch_size, 64)):
                batch = placed(codec.batch(part), network)
                for place, answer in zip(places, (ask or network.answer)(batch), strict=True):
                    answers[place] = answer
                if labelled:
                    loss = network.loss(batch)
                    total, count = total + loss.mean.item() * loss.count, count + loss.count
        network.train(was_training)
        return answers, total, count

    def _shown(self, example: Example) -> str:
        """An example in a line, for people: a task says here its text, or the place that it came from."""
        return str(example)

    def _kept(self, source: Source[Example]) -> Source[Example]:
        """What is trained on: a file is read anew each time with the option ``stream``, else once into a list."""
        return source if isinstance(source, Sequence) or getattr(self, "stream", False) else list(source)

    def _split(self, examples: Source[Example], validation: Any) -> tuple[Source[Example], Source[Example]]:
        """The examples to train on, and those held out."""
        if not len(examples):
            raise DataError("there is nothing to train on; came no example")
        if validation is not None:
            data, labels = validation if isinstance(validation, tuple) else (validation, None)
            return examples, self._kept(self._labelled(data, labels))
        if not self.validation_fraction:
            return examples, []
        if not isinstance(examples, Sequence):
            raise RecellError(message("data that is read in a stream is held out by a file of its own",
                                      write="validation=FILE, or validation_fraction=0"))
        held = max(1, round(len(examples) * self.validation_fraction))
        if held >= len(examples):
            raise DataError(f"{len(examples)} example(s) cannot be divided into some to learn from and {held} to hold out; "
                            "write validation_fraction=0, or give more")
        order = np.random.default_rng(self.seed & (2**64 - 1)).permutation(len(examples)).tolist()
        seen = {label for place in order[held:] for label in self._labels_in(examples[place])}
        strange = [place for place in order[:held] if not seen.issuperset(self._labels_in(examples[place]))]
        learnt, kept = sorted([*order[held:], *strange]), sorted(set(order[:held]).difference(strange))
        return [examples[place] for place in learnt], [examples[place] for place in kept]

    def _say_unvalidated(self, shown: Progress, *, drawn: bool) -> None:
        """Where nothing is held out, for every example that was `drawn` went back to those learnt from (`_labels_in`) or none
        was; RecellError for a training that was to end by what is held out."""
        said = "each example that was drawn to be held out has a label that no other has, so it is learnt from"
        self._check_patience(f"{said}: nothing is left to validate on" if drawn else "nothing is held out to validate on")
        if drawn:
            shown.say(f"{said}: this training is not validated; write validation=FILE, or a higher validation_fraction")

    def _labels_in(self, example: Example) -> Iterable[Any]:
        """Labels that training must see: an example whose label no other has is learnt from, not held out."""
        return ()

    def _usual_plan(self, steps: int, steps_per_epoch: int) -> dict[str, Any]:
        """Validated once an epoch, where there are several."""
        usual = super()._usual_plan(steps, steps_per_epoch)
        return usual | {"validate_every": min(steps_per_epoch, steps), "best_by": self._best_by}

    def _check_sequence(self, counts: Iterable[str] = (), optional: Iterable[str] = ()) -> Cell:
        """Refuse options that cannot be; the cell, with its modifiers."""
        cell = self._check_shared(("batch_size", *counts), optional)
        check_part("validation_fraction", self.validation_fraction, "a part of the data", 0.1)
        for name in _FLAGS:
            check_flag(name, getattr(self, name, False))
        return cell

    # -- saving and loading -----------------------------------------------------------------------------------

    def _saved_parts(self) -> tuple[dict[str, Any], dict[str, bytes], dict[str, bytes]]:
        network, codec = self._fitted()
        described = {
            "codec": codec.to_json(),
            "network": {"cell": self.cell_.to_json()},
            "trained": {"steps": self.steps_, "stopped_early": self.stopped_early_},
        }
        return described, {TENSORS: tensors_bytes(arrays_of(network))}, {METRICS: records_bytes(self.history_)}

    def _restore(self, saved: SavedModel) -> None:
        self.cell_, self.codec_ = saved.cell(), self._codec_of(saved.entry("codec", kind=dict))
        tensors = {name: torch.from_numpy(array) for name, array in saved.tensors().items()}
        self._check_tensors(saved, tensors)
        self.network_ = self._build(self.cell_, self.codec_)  # on the CPU, wherever it was trained
        self.network_.load_state_dict(tensors)
        self.network_.eval()
        self.steps_ = saved.entry("trained", "steps", kind=int)
        self.stopped_early_ = saved.entry("trained", "stopped_early", kind=bool)
        self.history_ = read_records(saved.folder / METRICS)

    def _check_tensors(self, saved: SavedModel, tensors: Mapping[str, Tensor]) -> None:
        """ModelError unless the network that config.json describes has these tensors; it takes no memory until then."""
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if self.num_layers * getattr(self, "members", 1) <= len(found):
            with torch.device("meta"):
                described = self._build(self.cell_, self.codec_).state_dict()
            if found == {name: tuple(tensor.shape) for name, tensor in described.items()}:
                return
        raise ModelError(f"{saved.folder / TENSORS} does not fit its {CONFIG}: it holds other tensors than the network has")

    def _fitted(self) -> tuple[SequenceNetwork, Codec[Example, Item]]:
        if not hasattr(self, "network_"):
            name = type(self).__name__
            raise ModelError(f"this {name} is not trained yet; call fit(...), or load(...) a saved one")
        return self.network_, self.codec_


def placed(batch: Batch, network: nn.Module) -> Batch:
    """The batch on the network's device."""
    device = next(network.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items()}


def fingerprint(items: Iterable[Any]) -> str:
    """A hash of the examples as numbers: what a checkpoint knows its data by."""
    digest = hashlib.sha256()
    for item in items:
        _digest(digest, item)
    return digest.hexdigest()


def _digest(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(repr((value.shape, value.dtype.str)).encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (list, tuple)):
        digest.update(b"[")
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            _digest(digest, part)
        digest.update(b"]")
    elif hasattr(value, "__dataclass_fields__"):
        _digest(digest, [getattr(value, name) for name in value.__dataclass_fields__])
    else:
        digest.update(repr(value).encode())
