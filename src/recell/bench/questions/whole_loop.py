"""How long does a whole training step of a task take beside the same model on torch.nn?

The tagger on SNIPS's sentences: words and characters, both directions, CRF, intents. The classifier on MNIST's images, row by
row: 28 steps, both directions. Batches, features, loss, optimizer and all
else are recell's on both sides, drawn from the same buckets. On torch's side every recurrent layer is torch.nn's, given a
PackedSequence and padded again, as its documentation says. `RNN's share` is the part of torch's step that is spent in these
layers, forward and backward, packing included: a faster layer can save no more. Both sides take turns on the same batches in one
process, medians; that is done in three fresh processes, and the row is the one whose ratio is the middle one: torch.nn's GRU has
two speeds, and which one a process gets is settled when it starts. `ratios` are the lowest and the highest. The networks are
those of examples/snips.py and examples/mnist_rows.py.

What bounds it: `around` is recell's step without the native passes of its layers, so batches, features, loss, clipping,
optimizer, Python and torch's graph; most of it is on both sides. `bound` is the ratio of torch's step to `around` and the
products of the very batches at the FMA peak measured in the same process. `needs` is the percentage of the peak at which the
native passes would have to run for what is promised, all else as it is: over 100, no kernel can keep the promise; where "no time
is left", `around` alone takes longer. Without RECELL_DATA, made-up sentences of like lengths take the place of SNIPS's and noise
that of images; the row says so.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recell.bench.native import around
from recell.bench.report import Row, against, bounds
from recell.bench.sides import CELLS
from recell.bench.timing import Options, in_child, medians, peak, take_turns
from recell.data.buckets import Buckets
from recell.data.images import labels_beside, read_images
from recell.nn import Recurrent
from recell.nn.dropout import Dropout
from recell.tasks._sequence import SequenceLearner
from recell.tasks.classifier import Classifier
from recell.tasks.tagger import Tagger
from recell.training import Plan, Training

KIND = "module"
PROMISED = {"LSTM": 1.2, "GRU": 2.0}
PROCESSES = 3
MADE_UP = 2000  # sentences, where there is no data
IMAGES = 12_800
SNIPS: dict[str, Any] = {"hidden_size": 200, "trigram_size": 50, "unknown_rate": 0.05, "batch_size": 32}
MNIST: dict[str, Any] = {"hidden_size": 96, "pooling": "max", "scale": "all", "dropout": 0.2, "batch_size": 128}
Examples = Sequence[Any]


def rows(options: Options) -> Iterator[Row]:
    for what in TASKS:
        for kind, bar in PROMISED.items():
            processes = [in_child(f"{__name__}:pair", what, kind, options.threads) for _ in range(PROCESSES)]
            processes.sort(key=lambda one: one["torch.nn"] / one["recell"])
            ratios = [one["torch.nn"] / one["recell"] for one in processes]
            middle = processes[PROCESSES // 2]
            row = against(f"{what}, {kind}{middle['source']}", "torch.nn", middle, at_least=bar)
            row |= {"ratios": f"{ratios[0]:.2f} - {ratios[-1]:.2f}", "RNN's share": f"{middle['share']:.0%}"}
            yield row | bounds(middle, "torch.nn", middle["operations"], bar)


def pair(what: str, kind: str, threads: int) -> dict[str, Any]:
    """Median seconds of both sides of one task in turns, what bounds their ratio, and whether the data is real."""
    torch.set_num_threads(threads)
    task, examples, source = TASKS[what](CELLS[kind])
    sides = {side: training_of(task, examples, kind if side == "torch.nn" else None) for side in ("recell", "torch.nn")}
    seconds = medians(take_turns({side: training.step for side, (training, _) in sides.items()}, rounds=6, settle=3, runs=20))
    ours, layers = sides["recell"]
    bounding = {"around": around(ours.step), "operations": operations_of(ours, layers), "peak": peak(threads, 8)}
    return seconds | bounding | {"share": share_of(*sides["torch.nn"]), "source": source}


def training_of(task: Any, examples: Examples, kind: str | None) -> tuple[Training, list[Any]]:
    """The task's training and its recurrent layers; with a `kind` of torch.nn in the place of each Recurrent."""
    cell, codec = task._check(), task._learn_codec(examples)
    torch.manual_seed(0)
    network = task._build(cell, codec)
    layers = [m for m in network.modules() if isinstance(m, Recurrent)] if kind is None else put_packed(network, kind)
    items = [codec.encode(example, labelled=True) for example in examples]
    learner = SequenceLearner(task, network, codec, Buckets(items, codec.length, batch_size=task.batch_size), [])
    return Training(learner, Plan(steps=10**9, learning_rate=1e-3)), layers


def put_packed(network: nn.Module, kind: str) -> list[Packed]:
    """torch's layers where Recurrents stood; the list of them."""
    made: list[Packed] = []
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Recurrent):
                made.append(Packed(child, kind))
                setattr(module, name, made[-1])
    return made


class Packed(nn.Module):
    """torch.nn's layers of the same shape, between packing and padding; it counts its seconds while `clock` runs."""

    def __init__(self, layer: Recurrent, kind: str) -> None:
        super().__init__()
        directions = {"bidirectional": layer.bidirectional, "num_layers": layer.num_layers}
        self.drop = Dropout(layer.input_dropout)  # recell's, as all else: no part of the layers' share
        self.layer = getattr(nn, kind)(layer.input_size, layer.hidden_size, **directions)
        self.output_size = layer.output_size
        self.batches: list[tuple[Tensor, Tensor | None]] | None = None

    def forward(self, x: Tensor, *, lengths: Tensor | None) -> tuple[Tensor, None]:
        x = self.drop(x)
        if self.batches is not None:
            self.batches.append((x.detach(), lengths))
        return self.read(x, lengths), None

    def read(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """torch's layers alone."""
        if lengths is None:
            return self.layer(x)[0]
        lengths = lengths.clamp(min=1)  # torch takes no empty row
        packed = pack_padded_sequence(x, lengths)  # a batch's longest row stands first
        return pad_packed_sequence(self.layer(packed)[0], total_length=len(x))[0]


def share_of(training: Training, layers: Sequence[Packed], steps: int = 60) -> float:
    """The part of a step that is spent in these layers, on the very batches: medians of each alone."""
    for layer in layers:
        layer.batches = []
    whole = statistics.median(seconds_of(training.step) for _ in range(steps))
    taken = 0.0
    for layer in layers:
        batches, layer.batches = layer.batches or [], None
        taken += statistics.median(seconds_of(alone(layer, *batch)) for batch in batches)
    return min(taken / whole, 0.99)


def operations_of(training: Training, layers: Sequence[Recurrent], steps: int = 60) -> float:
    """Floating point operations of the layers' products in a step, the median: batches differ."""
    taken = list[float]()

    def count(layer: Recurrent, given: tuple[Tensor], named: dict[str, Any], _: Any) -> None:
        lengths = named.get("lengths")
        valid = given[0].shape[:2].numel() if lengths is None else int(lengths.sum())
        for name, matrix in layer.named_parameters():
            if matrix.ndim == 2:  # forward, and twice as many backward; of data nobody asks for the gradient
                reads_data = name.startswith("W") and "_l0" in name and not given[0].requires_grad
                taken[-1] += (4.0 if reads_data else 6.0) * valid * matrix.numel()

    hooks = [layer.register_forward_hook(count, with_kwargs=True) for layer in layers]
    for _ in range(steps):
        taken.append(0.0)
        training.step()
    for hook in hooks:
        hook.remove()
    return statistics.median(taken)


def alone(layer: Packed, x: Tensor, lengths: Tensor | None) -> Callable[[], object]:
    """Forward and backward of one layer on one batch."""
    x = x.clone().requires_grad_()

    def run() -> None:
        y = layer.read(x, lengths)
        y.backward(torch.ones_like(y))

    return run


def seconds_of(step: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def snips(cell: str) -> tuple[Tagger, Examples, str]:
    """The tagger of examples/snips.py and its sentences."""
    task = Tagger(cell=cell, **SNIPS)
    folder = Path(os.environ.get("RECELL_DATA", "")) / "slots" / "snips" / "train"
    if folder.is_dir():
        return task, list(task._labelled(folder, None)), ""  # pyright: ignore[reportPrivateUsage]
    return task, list(task._labelled(*made_up())), " (made-up sentences)"  # pyright: ignore[reportPrivateUsage]


def made_up() -> tuple[list[list[str]], list[tuple[list[str], str]]]:
    """Sentences of SNIPS's lengths and as many tags, by chance."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(9, 3.5, MADE_UP), 2, 35).astype(int)
    words = [[f"w{number}" for number in rng.zipf(1.3, length) % 10_000] for length in lengths]
    labels = [([f"B-{kind}" for kind in rng.integers(0, 39, length)], f"i{rng.integers(7)}") for length in lengths]
    return words, labels


def mnist(cell: str) -> tuple[Classifier, Examples, str]:
    """The classifier of examples/mnist_rows.py and some of its images."""
    task = Classifier(cell=cell, **MNIST)
    folder = Path(os.environ.get("RECELL_DATA", "")) / "sequence_classification" / "mnist"
    if folder.is_dir():
        path = folder / "train-images-idx3-ubyte.gz"
        images, labels = read_images(path)[:IMAGES], labels_beside(path)[:IMAGES]
        return task, list(task._labelled(images, labels)), ""  # pyright: ignore[reportPrivateUsage]
    noise = np.random.default_rng(0).random((IMAGES, 28, 28), dtype=np.float32)
    return task, list(task._labelled(noise, np.arange(IMAGES) % 10)), " (noise)"  # pyright: ignore[reportPrivateUsage]


TASKS: dict[str, Callable[[str], tuple[Any, Examples, str]]] = {"Tagger, SNIPS": snips, "Classifier, MNIST": mnist}
