"""The language model's network, and how the training loop sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recell.data.batching import IGNORED, Streams, Window, evaluation_windows
from recell.language.cell import Cell
from recell.nn.dropout import Dropout
from recell.nn.losses import linear_cross_entropy
from recell.runtime.network import layer_sizes
from recell.tasks._layers import Layers
from recell.training import Loss

State = Mapping[str, Tensor]
Numbers = NDArray[np.int64]
_SHORTEST_STREAM = 1000  # symbols: validation is cut into streams no shorter, as each begins without context


class Network(nn.Module):
    """embedding -> Recurrent -> dropout -> linear; a cell that brings its own output layer has the last two inside."""

    def __init__(self, cell: Cell, vocabulary_size: int, layers: Layers, *, embedding_size: int) -> None:
        super().__init__()
        self.description = layers.described(cell, embedding_size, vocabulary_size)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.recurrent = layers.make(cell, embedding_size, vocabulary_size, reads="embedding_size")
        self.dropout = Dropout(layers.dropout)
        self.output = None
        if not cell.brings_output:
            width = cell.output_size(layer_sizes(cell, self.description)[-1])
            self.output = nn.Linear(width, vocabulary_size)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits (T, N, V) of tokens (T, N), and the state after them, cut off from their gradients."""
        y, after = self._read(tokens, state)
        return y if self.output is None else self.output(y), after

    def loss(
        self, tokens: Tensor, targets: Tensor, state: State | None = None, *, reduction: str = "mean"
    ) -> tuple[Tensor, State]:
        """The cross-entropy of targets (T, N), IGNORED ones left out, and the state after the tokens.

        ``reduction`` "none" gives one loss for each target, (T * N,). The logits of an output layer are never stored.
        """
        y, after = self._read(tokens, state)
        flat, wanted = y.flatten(0, 1), targets.flatten()
        if self.output is None:
            return functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction=reduction), after
        losses = linear_cross_entropy(flat, self.output.weight, wanted, linear_bias=self.output.bias, ignore_index=IGNORED,
                                      reduction=reduction)  # fmt: skip
        return losses, after

    def _read(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """What the output layer is given, (T, N, width); the logits themselves where the cell brings them."""
        y, after = self.recurrent.embedded(tokens, self.embedding.weight, state)
        assert isinstance(y, Tensor)  # tokens are no PackedSequence, and there is one direction
        y = y if self.output is None else self.dropout(y)
        return y, {name: value.detach() for name, value in after.items()}


class LanguageLearner:
    """A network and the streams it learns from, as ``recell.training.Training`` wants them."""

    def __init__(self, network: Network, streams: Streams, held_out: Numbers | None, *, unit: str, window: int) -> None:
        self.module: nn.Module = network
        self.unit = unit
        self._network, self._streams, self._held_out, self._window = network, streams, held_out, window
        self._state: State | None = None

    def next_loss(self) -> Loss:
        window = self._streams.next()
        inputs, targets = _tensors(window, self._network)
        loss, self._state = self._network.loss(inputs, targets, None if window.first else self._state)
        return Loss(loss, targets.numel())

    def epoch(self) -> float:
        return self._streams.epoch

    def figures(self, loss: float) -> Mapping[str, float]:
        return {"bits_per_token": loss / math.log(2)}

    def validate(self) -> Mapping[str, float] | None:
        if self._held_out is None:
            return None
        streams = max(1, min(32, len(self._held_out) // _SHORTEST_STREAM))
        loss = nats_per_token(self._network, self._held_out, window=self._window, streams=streams)
        return {"loss": loss, **self.figures(loss)}

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        return self._state or {}, {"position": self._streams.position}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        device = self._network.embedding.weight.device
        self._state = {name: tensor.to(device) for name, tensor in tensors.items()} or None
        self._streams.position = int(values["position"])


def nats_per_token(network: Network, numbers: Numbers, *, window: int, streams: int = 1) -> float:
    """The mean negative log probability of every token of a text; one stream reads it straight through."""
    network.eval()
    state: State | None = None
    total = 0.0
    with torch.no_grad():
        for part in evaluation_windows(numbers, window=window, streams=streams):
            inputs, targets = _tensors(part, network)
            losses, state = network.loss(inputs, targets, state, reduction="none")
            total += losses.double().sum().item()
    return total / len(numbers)


def _tensors(window: Window, network: Network) -> tuple[Tensor, Tensor]:
    device = network.embedding.weight.device
    return torch.from_numpy(window.inputs).to(device), torch.from_numpy(window.targets).to(device)
