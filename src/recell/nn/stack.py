"""`Stack`: layers that may differ in cell, size and direction, as one torch module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recell.errors import CellError, DataError, ShapeError, is_whole, message
from recell.nn import between
from recell.nn.batch import Lengths
from recell.nn.init import Init, fill_
from recell.nn.layers import Output, names_for
from recell.nn.recurrent import Recurrent, State


class Stack(nn.Module):
    """`Recurrent` modules one after the other: `Stack([Recurrent("LSTM", 8, 16), Recurrent("GRU", 16, 32)])`.

    Each takes as many features as the one before gives. Layers are numbered through the whole stack, and the state is one dict
    with an entry for each state and layer, "h_l0", "c_l0", "h_l1": (directions, N, size of that layer). In a `state_dict` the
    modules keep their own names, `layers.0.U_f_l0`.

    Around every module after the first, `residual` adds its input to its output and `highway` lets a gate choose between them,
    as in `Recurrent` (its parameters are `W_highway_l1` and `b_highway_l1` for the second module, and so on). In training,
    `input_dropout` drops units of x before the first module, `dropout` between modules, `variational` with one mask for all
    steps. `learn_initial_state` makes the initial states of all modules parameters, `layers.0.initial_h_l0`. What concerns one
    module alone is an argument of that module. Raises ShapeError where widths do not meet, DataError or CellError where modules
    do not fit.
    """

    def __init__(self, layers: Sequence[Recurrent], *, residual: bool = False, highway: bool = False, dropout: float = 0.0,
                 variational: bool = False, input_dropout: float = 0.0, learn_initial_state: bool = False) -> None:
        super().__init__()
        _check_layers(layers)
        one_output = len(layers) == 1 or layers[-1].merge is not None or not layers[-1].bidirectional
        between.check_between(layers=len(layers), unit="module", residual=residual, highway=highway,
                              rates={"dropout": dropout, "input_dropout": input_dropout}, one_output=one_output)
        _check_input_dropout(input_dropout, layers[0])
        self.layers = nn.ModuleList(layers)
        self.residual, self.highway, self.dropout, self.variational = residual, highway, float(dropout), variational
        self.input_dropout, self.learn_initial_state = float(input_dropout), learn_initial_state
        self.batch_first, self.input_size = layers[0].batch_first, layers[0].input_size
        for number, layer in enumerate(layers):
            if number and (residual or highway):
                between.check_carried(number, layer.input_size, layer.output_size, residual=residual)
            if number and highway:
                like = next(layer.parameters())
                between.make_gate(self, f"l{number}", layer.input_size, like.device, like.dtype)
        if learn_initial_state:  # after all checks: what is refused leaves the layers as they were
            for layer in layers:
                layer._learn_initial_state()

    @property
    def output_size(self) -> int:
        """The width of y."""
        return self._modules_in_order[-1].output_size

    @property
    def _modules_in_order(self) -> list[Recurrent]:
        return list(self.layers)  # type: ignore[arg-type]

    def _numbered(self) -> Iterator[tuple[int, Recurrent]]:
        """Each module with the number of its first layer in the whole stack."""
        first = 0
        for module in self._modules_in_order:
            yield first, module
            first += module.num_layers

    def forward(self, x: Tensor | PackedSequence, state: Mapping[str, Tensor] | None = None, *,
                lengths: Lengths | None = None, mask: Tensor | None = None, reset: Tensor | None = None,
                elapsed: Tensor | None = None) -> tuple[Output, State]:
        """y and the final state, for x and streams of the forms that `Recurrent.forward` takes.

        `elapsed` goes to the modules whose cells read it. A state that is left out starts at its cell's initial value.
        """
        if not isinstance(x, PackedSequence):
            return self._run(x, None, state, lengths=lengths, mask=mask, reset=reset, elapsed=elapsed)
        if lengths is not None:
            raise ShapeError("a PackedSequence carries its own lengths; write lengths=None")
        padded, counts = pad_packed_sequence(x, self.batch_first)
        y, final = self._run(padded, None, state, lengths=counts, mask=mask, reset=reset, elapsed=elapsed)
        outputs = tuple(_packed(part, x, counts, self.batch_first) for part in (y if isinstance(y, tuple) else (y,)))
        return (outputs if len(outputs) == 2 else outputs[0]), final  # type: ignore[return-value]

    def embedded(self, tokens: Tensor, embedding: Tensor | None, state: Mapping[str, Tensor] | None = None,
                 **streams: Any) -> tuple[Output, State]:
        """`forward` on the rows of `embedding` (V, input) that tokens (T, N) name: see `Recurrent.embedded`."""
        return self._run(tokens, (embedding,), state, **streams)

    def trace(self, x: Tensor, state: Mapping[str, Tensor] | None = None, **streams: Any) -> dict[str, Tensor]:
        """Every named local and every state's new value, (T, N, size) each, as "i_l0", "h_l1_reverse"."""
        record: dict[str, Tensor] = {}
        self._run(x, None, state, record=record, **streams)
        return record

    def _run(self, x: Tensor, embedding: tuple[Tensor | None] | None, state: Mapping[str, Tensor] | None, *,
             elapsed: Tensor | None = None, record: dict[str, Tensor] | None = None, **streams: Any) -> tuple[Any, State]:
        """`embedding`: where given, x are tokens for it."""
        state = {} if state is None else state
        self._check_state(state)
        self._check_elapsed(elapsed)
        x, embedding = self._entered(x, embedding)
        y: Any = x
        final: State = {}
        for number, (first, module) in enumerate(self._numbered()):
            own = {**streams, "elapsed": elapsed if module.cell.uses_elapsed else None}
            x = self._dropped(y, self.dropout) if number else y
            given = _enter_state(module, first, state)
            if record is not None:  # y of the same run, since in training another draws other coins
                inside, y, after = module._traced(x, given, **own)
                record.update({_renumbered(name, first): value for name, value in inside.items()})
            else:
                y, after = module.embedded(x, *embedding, given, **own) if embedding and not number else module(x, given, **own)
            final.update(_leave_state(module, first, after))
            if number and self.residual:
                y = y + x
            if number and self.highway:
                y = between.highway(x, y, *between.gate_of(self, f"l{number}"))
        return y, final

    def _entered(self, x: Tensor, embedding: tuple[Tensor | None] | None) -> tuple[Tensor, tuple[Tensor | None] | None]:
        """What the first module reads. Where units of x are dropped, tokens become the vectors that they name."""
        if not (self.training and self.input_dropout) or not isinstance(x, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
            return x, embedding  # what is no tensor the first module refuses
        if embedding is not None or not (x.is_floating_point() or x.is_complex()):
            first, rows = self._modules_in_order[0], embedding[0] if embedding else None
            first._check_tokens(x, rows)
            if rows is None and first._projections[0] is None:
                return x, embedding  # refused there: its cell reads x in another way than by products
            if rows is None:
                x = functional.one_hot(x.long(), self.input_size).to(first._stored(0)[0].dtype)
            else:
                x = functional.embedding(x, rows)
        return self._dropped(x, self.input_dropout), None

    def _dropped(self, x: Tensor, rate: float) -> Tensor:
        if not (self.training and rate):
            return x
        if self.batch_first and x.dim() == 3:
            return between.drop(x.transpose(0, 1), rate, variational=self.variational).transpose(0, 1)
        return between.drop(x, rate, variational=self.variational)

    def _check_state(self, state: object) -> None:
        if not isinstance(state, Mapping):
            raise ShapeError(f"state is a {type(state).__name__}; give a dict with {', '.join(self._state_names())}")
        for name in state:
            if name not in self._state_names():
                raise ShapeError(f"this stack has no state {name!r}; its states are {', '.join(self._state_names())}")

    def _state_names(self) -> list[str]:
        return [f"{info.name}_l{first + layer}" for first, module in self._numbered()
                for layer in range(module.num_layers) for info in module.cell.states]

    def _check_elapsed(self, elapsed: Tensor | None) -> None:
        if elapsed is not None and not any(module.cell.uses_elapsed for module in self._modules_in_order):
            raise ShapeError("no cell of this stack reads elapsed time (an argument dt); write elapsed=None")

    def parameter(self, name: str, layer: int = 0, reverse: bool = False) -> Tensor:
        """A cell's parameter by its author's name; layers are numbered through the whole stack."""
        for first, module in self._numbered():
            if is_whole(layer, least=first, most=first + module.num_layers - 1):
                return module.parameter(name, layer - first, reverse)
        raise DataError(f"there is no layer {layer!r}: this stack has {sum(m.num_layers for m in self._modules_in_order)} layers")

    def initialize(self, **inits: Init) -> Self:
        """Fill parameters by their author's names in every module whose cell has them: see `Recurrent.initialize`."""
        for key, init in inits.items():
            gates = [f"l{n}" for n in range(1, len(self.layers))] if self.highway and key in between.GATE else []
            known = [m for m in self._modules_in_order if names_for(m._runners[0], key) or (m.highway and key in between.GATE)]
            if not known and not gates:
                cells = ", ".join(module.cell.name for module in self._modules_in_order)
                raise DataError(f"no cell of this stack has a parameter {key!r}; its cells are {cells}")
            for module in known:
                module.initialize(**{key: init})
            for suffix in gates:
                fill_(getattr(self, f"{key}_{suffix}"), init)
        return self

    def reset_parameters(self) -> None:
        """Draw every parameter anew, as the constructors did."""
        for number, module in enumerate(self._modules_in_order):
            module.reset_parameters()
            if self.highway and number:
                between.fill_gate(self, f"l{number}")

    def extra_repr(self) -> str:
        """What acts between modules, where anything does."""
        told = [f"{flag}=True" for flag in ("residual", "highway", "variational", "learn_initial_state") if getattr(self, flag)]
        told += [f"{name}={getattr(self, name)}" for name in ("dropout", "input_dropout") if getattr(self, name)]
        return ", ".join(told)


def _check_layers(layers: Sequence[Recurrent]) -> None:
    if not isinstance(layers, (list, tuple)) or not layers:
        raise DataError(f"a Stack takes a list of Recurrent modules; came {layers!r:.60}; "
                        "write Stack([Recurrent(\"LSTM\", 8, 16), Recurrent(\"GRU\", 16, 32)])")
    for number, layer in enumerate(layers):
        if not isinstance(layer, Recurrent):
            raise DataError(f"a Stack takes Recurrent modules; came {type(layer).__name__} at {number}; write Recurrent")
        if layer.batch_first != layers[0].batch_first:
            raise DataError(f"module {number} has batch_first={layer.batch_first}, the first has {layers[0].batch_first}; "
                            "make all modules alike")
    for number, (below, above) in enumerate(zip(layers, layers[1:], strict=False)):
        if below.merge is None and below.bidirectional:
            raise DataError(f"module {number} gives a pair, and a module stands above it; write merge=\"concat\"")
        if below.cell.brings_output:
            raise CellError(f"{below.cell.name} brings its own output layer and can only be the last of a Stack")
        if below.output_size != above.input_size:
            raise ShapeError(f"module {number} gives {below.output_size} features, module {number + 1} takes {above.input_size}; "
                             f"write Recurrent({above.cell.name!r}, {below.output_size}, ...)")


def _check_input_dropout(rate: float, first: Recurrent) -> None:
    if rate and first.input_dropout:
        raise DataError(message("x would be dropped out twice, by the stack and by its first module",
                                came=f"input_dropout={rate} and {first.input_dropout}", write="one of them"))


def _widths(module: Recurrent, index: int) -> list[int]:
    """A state's size in each layer."""
    return [runner.state_sizes[index] for runner in module._runners]


def _enter_state(module: Recurrent, first: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A module's own form of its layers' entries: (layers * directions, N, widest size)."""
    found: dict[str, Tensor] = {}
    for index, info in enumerate(module.cell.states):
        names = [f"{info.name}_l{first + layer}" for layer in range(module.num_layers)]
        given = [name for name in names if name in state]
        if given and len(given) < len(names):
            missing = next(name for name in names if name not in state)
            raise ShapeError(f"the state has {given[0]} and not {missing}, of the same module; give both or neither")
        if given:
            widths = _widths(module, index)
            parts = [_checked(name, state[name], width, module) for name, width in zip(names, widths, strict=True)]
            found[info.name] = torch.cat([nn.functional.pad(p, (0, max(widths) - p.shape[-1])) for p in parts])
    return found


def _checked(name: str, value: object, width: int, module: Recurrent) -> Tensor:
    directions = 2 if module.bidirectional else 1
    if not isinstance(value, Tensor) or value.dim() not in (2, 3) or (len(value), value.shape[-1]) != (directions, width):
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ShapeError(f"state {name} is {came}; give a tensor (directions, batch, size) = ({directions}, N, {width})")
    return value


def _leave_state(module: Recurrent, first: int, state: Mapping[str, Tensor]) -> State:
    """A module's state as one entry for each layer."""
    directions = 2 if module.bidirectional else 1
    found: State = {}
    for index, info in enumerate(module.cell.states):
        for layer, width in enumerate(_widths(module, index)):
            rows = state[info.name][layer * directions : (layer + 1) * directions]
            found[f"{info.name}_l{first + layer}"] = rows[..., :width]
    return found


def _renumbered(name: str, first: int) -> str:
    """A trace's name with the layer's number in the whole stack."""
    return re.sub(r"_l(\d+)(_reverse)?$", lambda found: f"_l{first + int(found[1])}{found[2] or ''}", name)


def _packed(y: Tensor, like: PackedSequence, lengths: Tensor, batch_first: bool) -> PackedSequence:
    """y in the form of the PackedSequence that x came in, its order of rows too."""
    if like.sorted_indices is not None:
        y = y.index_select(0 if batch_first else 1, like.sorted_indices)
        lengths = lengths.index_select(0, like.sorted_indices.to(lengths.device))
    data, sizes, *_ = pack_padded_sequence(y, lengths.cpu(), batch_first)
    return PackedSequence(data, sizes, like.sorted_indices, like.unsorted_indices)
