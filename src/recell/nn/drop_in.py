"""LSTM, GRU and RNN, and their cells, with torch.nn's signatures, weights, initialisation and outputs.

They are `Layers`, and do not inherit from torch.nn's classes (Dynamo refuses those). Beside torch's arguments,
`forward` takes `lengths`, `mask` and `reset` as `Recurrent` does.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from recell.errors import DataError, ShapeError, is_whole, whole
from recell.nn.batch import Batch, Lengths
from recell.nn.calls import Joined
from recell.nn.layers import Layers, Output
from recell.nn.stacks import GATES, cell_of, stacks_of, stored_names, stored_shapes
from recell.nn.step import OneStep

States = Tensor | tuple[Tensor, ...]


class DropIn(Layers):
    """torch.nn.RNNBase's part: stacked weights under torch's names. Abstract: a subclass is one of torch's modules.

    Beside torch's arguments, `backend` and `recompute` are those of `Recurrent`.
    """

    _last_joined = Joined.COPIED  # as torch.nn's, the output of two directions may be written to in place

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool,
                 dropout: float, bidirectional: bool, proj_size: int, backend: str, recompute: int | None,
                 device: Any, dtype: Any) -> None:
        input_size, hidden_size, num_layers, proj_size = _counts(input_size, hidden_size, num_layers, proj_size)
        _check_dropout(dropout, num_layers)
        cell = cell_of(mode, proj_size > 0)
        super().__init__(cell, input_size, [hidden_size] * num_layers, bidirectional=bidirectional,
                         batch_first=batch_first, dropout=float(dropout), backend=backend, recompute=recompute,
                         sizes={"projection": proj_size} if proj_size else {},
                         packing=stacks_of(cell, mode, hidden_size, bias, proj_size > 0))
        self.hidden_size, self.mode, self.bias, self.proj_size = hidden_size, mode, bias, proj_size
        for layer, _, suffix in self._places():
            width = input_size if layer == 0 else (proj_size or hidden_size) * (2 if bidirectional else 1)
            names = [f"{name}_{suffix}" for name in stored_names(bias, proj_size > 0)]
            for name, shape in zip(names, stored_shapes(mode, width, hidden_size, bias, proj_size), strict=True):
                self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
            self._stored_names.append(tuple(names))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight from +-1/sqrt(hidden_size), in torch's order: the same seed gives torch's weights."""
        _reset(self, self.hidden_size)

    def _dropped(self, x: Tensor, layer: int, batch: Batch) -> Tensor:
        """Between layers by torch's own dropout: the same seed drops the units that torch.nn drops."""
        return functional.dropout(x, self.dropout, self.training) if layer else x

    def flatten_parameters(self) -> None:
        """Nothing to do: kernels read the weights where they are. There because models written for torch.nn call it."""

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._stored_names]

    def forward(self, input: Tensor | PackedSequence, hx: States | None = None, *,
                lengths: Lengths | None = None, mask: Tensor | None = None,
                reset: Tensor | None = None) -> tuple[Output, States]:
        """The output and the final state(s), in torch.nn's forms.

        input (T, N, input_size), (N, T, input_size) with `batch_first`, (T, input_size), or a PackedSequence; hx, for an
        LSTM a pair, (num_layers * directions, N, size). `lengths`, `mask` and `reset` as in `Recurrent.forward`.
        """
        batch = self._enter(input, lengths, mask, reset, None)
        outputs, final = self._run(batch, self._initial(hx, batch))
        states = [self._leave_state(index, final, batch) for index in range(len(self.cell.states))]
        return batch.leave(outputs[0]), tuple(states) if len(states) > 1 else states[0]

    def trace(self, input: Tensor | PackedSequence, hx: States | None = None, *,
              lengths: Lengths | None = None, mask: Tensor | None = None,
              reset: Tensor | None = None) -> dict[str, Tensor]:
        """Every gate and state, (T, N, size) each, as "i_l0", "h_l1_reverse"."""
        batch = self._enter(input, lengths, mask, reset, None)
        record: dict[str, Tensor] = {}
        self._run(batch, self._initial(hx, batch), record)
        return {name: batch.leave_padded(value) for name, value in record.items()}

    def _initial(self, hx: States | None, batch: Batch) -> list[list[Tensor]]:
        count = len(self.cell.states)
        if hx is None:
            columns = [self._initial_rows(index, batch) for index in range(count)]
        else:
            given = _as_states(hx, count, type(self).__name__)
            columns = [self._enter_state(index, state, batch) for index, state in enumerate(given)]
        return [list(row) for row in zip(*columns, strict=True)]

    def extra_repr(self) -> str:
        """torch.nn's: the arguments that differ from the defaults."""
        told = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}
        told += [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join(told)


class LSTM(DropIn):
    """torch.nn.LSTM: `y, (h, c) = lstm(input, (h, c))`."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device: Any = None, dtype: Any = None, *, backend: str = "auto", recompute: int | None = None) -> None:
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         proj_size, backend, recompute, device, dtype)


class GRU(DropIn):
    """torch.nn.GRU: `y, h = gru(input, h)`; the reset gate acts after the product."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device: Any = None, dtype: Any = None, *, backend: str = "auto", recompute: int | None = None) -> None:
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         0, backend, recompute, device, dtype)


class RNN(DropIn):
    """torch.nn.RNN: an Elman network with tanh or relu, `y, h = rnn(input, h)`."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device: Any = None, dtype: Any = None, *, backend: str = "auto", recompute: int | None = None) -> None:
        super().__init__(_rnn_mode(nonlinearity), input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, 0, backend, recompute, device, dtype)
        self.nonlinearity = nonlinearity


class DropInCell(OneStep):
    """torch.nn.RNNCellBase's part. Abstract: a subclass is one of torch's cells."""

    def __init__(self, mode: str, input_size: int, hidden_size: int, bias: bool, backend: str, device: Any,
                 dtype: Any) -> None:
        cell = cell_of(mode)
        super().__init__(cell, input_size, hidden_size, None, backend,
                         stacks_of(cell, mode, hidden_size, bias, False))
        self.mode, self.bias = mode, bias
        self._stored_names = stored_names(bias, False)
        shapes = stored_shapes(mode, input_size, hidden_size, bias, 0)
        for name, shape in zip(self._stored_names, shapes, strict=True):
            self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        if not bias:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight from +-1/sqrt(hidden_size), in torch's order."""
        _reset(self, self.hidden_size)

    def forward(self, input: Tensor, hx: States | None = None) -> States:
        """The new state(s) (N, hidden_size), for an LSTM a pair, from input (N, input_size); or both without rows."""
        names = [state.name for state in self.cell.states]
        given = {} if hx is None else dict(zip(names, _as_states(hx, len(names), type(self).__name__), strict=True))
        _, new = self._step(input, given)
        return tuple(new.values()) if len(new) > 1 else new[names[0]]

    def extra_repr(self) -> str:
        """torch.nn's: sizes, and what differs from the defaults."""
        told = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        return told + (", nonlinearity=relu" if self.mode == "RNN_RELU" else "")


class LSTMCell(DropInCell):
    """torch.nn.LSTMCell: `h, c = cell(input, (h, c))`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None,
                 *, backend: str = "auto") -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, backend, device, dtype)


class GRUCell(DropInCell):
    """torch.nn.GRUCell: `h = cell(input, h)`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None,
                 *, backend: str = "auto") -> None:
        super().__init__("GRU", input_size, hidden_size, bias, backend, device, dtype)


class RNNCell(DropInCell):
    """torch.nn.RNNCell: `h = cell(input, h)` with tanh or relu."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
                 device: Any = None, dtype: Any = None, *, backend: str = "auto") -> None:
        super().__init__(_rnn_mode(nonlinearity), input_size, hidden_size, bias, backend, device, dtype)
        self.nonlinearity = nonlinearity


def _rnn_mode(nonlinearity: str) -> str:
    mode = f"RNN_{nonlinearity.upper()}"
    if mode not in GATES:
        raise DataError(f"there is no nonlinearity {nonlinearity!r}; write \"tanh\" or \"relu\"")
    return mode


def _reset(module: nn.Module, hidden_size: int) -> None:
    bound = 1 / math.sqrt(hidden_size)
    for weight in module.parameters():
        nn.init.uniform_(weight, -bound, bound)


def _as_states(hx: object, count: int, name: str) -> tuple[Any, ...]:
    """torch's bare tensor or tuple of tensors as one entry per state."""
    if count == 1:
        return (hx,)
    if not isinstance(hx, (tuple, list)) or len(hx) != count:
        raise ShapeError(f"hx of {name} is a {type(hx).__name__}; give a tuple of {count} tensors (h, c)")
    return tuple(hx)


def _counts(input_size: int, hidden_size: int, num_layers: int, proj_size: int) -> tuple[int, int, int, int]:
    """The same numbers as Python's."""
    input_size, hidden_size = whole("input_size", input_size), whole("hidden_size", hidden_size)
    if not is_whole(proj_size, least=0, most=hidden_size - 1):
        raise ShapeError(f"proj_size is {proj_size!r}; give 0 (none), or less than hidden_size={hidden_size}")
    return input_size, hidden_size, whole("num_layers", num_layers), int(proj_size)


def _check_dropout(dropout: float, num_layers: int) -> None:
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise DataError(f"dropout is {dropout}; give a probability from 0 to 1")
    if dropout and num_layers == 1:
        warnings.warn(f"dropout={dropout} acts between layers, and num_layers is 1: it does nothing", stacklevel=4)
