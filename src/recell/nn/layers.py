"""Layers and directions of one cell, over whatever parameters a module stores for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recell.errors import DataError, ShapeError, is_whole, message, whole
from recell.language.cell import Cell
from recell.nn import between
from recell.nn.batch import Batch, Lengths, checked_tensor, enter
from recell.nn.bridge import Runner
from recell.nn.calls import Joined, Place, Way
from recell.nn.init import Init, fill_
from recell.nn.packing import Packing
from recell.nn.projection import Projection

Output = Tensor | PackedSequence | tuple[Tensor, Tensor] | tuple[PackedSequence, PackedSequence]
HiddenSize = int | list[int] | tuple[int, ...]
Merge = Callable[[Tensor, Tensor], Tensor]
MERGES: dict[str, Merge] = {
    "concat": lambda forward, reverse: torch.cat((forward, reverse), -1),
    "sum": torch.add,
    "mul": torch.mul,
    "ave": lambda forward, reverse: (forward + reverse) / 2,
}


class Layers(nn.Module):
    """`num_layers` layers of a cell in one or two directions. Abstract: a subclass names the stored parameters.

    `_run` is the way through: a batch inside the door and the initial states in, y and the final states out.
    """

    _last_joined = Joined.WRITTEN  # how the directions of the last layer come together

    def __init__(self, cell: Cell, input_size: int, hidden_sizes: Sequence[int], *, bidirectional: bool,
                 merge: str | None = "concat", reverse: bool = False, batch_first: bool, dropout: float,
                 sizes: Mapping[str, int] | None = None, residual: bool = False, highway: bool = False,
                 input_dropout: float = 0.0, variational: bool = False, backend: str = "auto",
                 packing: Packing | None = None, recompute: int | None = None) -> None:
        super().__init__()
        self.cell, self.recompute = cell, _recomputed(recompute, backend)
        self.hidden_sizes, self.num_layers = tuple(hidden_sizes), len(hidden_sizes)
        self.bidirectional, self.merge, self.reverse = bidirectional, merge, reverse
        self.batch_first, self.dropout, self.residual, self.backend = batch_first, dropout, residual, backend
        self.highway, self.input_dropout, self.variational = highway, input_dropout, variational
        self._sizes: Mapping[str, int] = sizes or {}
        self._runners: list[Runner] = []
        by_size: dict[tuple[int, int], Runner] = {}
        for hidden_size in hidden_sizes:
            size = input_size, hidden_size
            if size not in by_size:
                by_size[size] = self._runner(*size, packing)
            self._runners.append(by_size[size])
            input_size = self._merged_size(by_size[size].output_size)
        self.input_size = self._runners[0].sizes["input"]
        self._stored_names: list[tuple[str, ...]] = []  # for each layer and direction
        self._widths = [self._state_widths(index) for index in range(len(cell.states))]
        self._check_carried()

    def _runner(self, input_size: int, hidden_size: int, packing: Packing | None) -> Runner:
        sizes = self.cell.resolve(input_size, hidden_size, self._sizes)
        return Runner(self.cell, sizes, self.backend, packing, recompute=self.recompute)

    def _check_carried(self) -> None:
        for layer, runner in enumerate(self._runners):
            if layer and (self.residual or self.highway):
                given = self._merged_size(runner.output_size)
                between.check_carried(layer, runner.sizes["input"], given, residual=self.residual)

    def _merged_size(self, size: int) -> int:
        return 2 * size if self.bidirectional and self.merge in ("concat", None) else size

    @property
    def output_size(self) -> int:
        """The width of y, directions merged: what a Linear after it takes."""
        return self._merged_size(self._runners[-1].output_size)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _places(self) -> list[tuple[int, int, str]]:
        """(layer, direction, the suffix of its parameters' names), in the order of the states."""
        return [(layer, direction, suffix(layer, direction))
                for layer in range(self.num_layers) for direction in range(self._directions)]

    def _stored(self, place: int) -> list[Tensor]:
        """The stored tensors of a layer and direction, as they are now: parametrizations and swaps are seen."""
        parameters = self._parameters
        found = [parameters.get(name) for name in self._stored_names[place]]
        return [getattr(self, name) if tensor is None else tensor
                for name, tensor in zip(self._stored_names[place], found, strict=True)]

    def parameter(self, name: str, layer: int = 0, reverse: bool = False) -> Tensor:
        """A cell's parameter by its author's name: the stored one, or a view of the stack that holds it.

        A bias that torch stores as two summands is their sum. DataError where there is no such name, layer or direction.
        """
        if not is_whole(layer, least=0, most=self.num_layers - 1) or (reverse and not self.bidirectional):
            raise DataError(f"there is no layer {layer!r}{' in reverse' if reverse else ''}: this module has "
                            f"{self.num_layers} layers and {self._directions} direction(s)")
        runner = self._runners[layer]
        return by_name(runner, self._stored(layer * self._directions + reverse), name)

    def initialize(self, **inits: Init) -> Self:
        """Fill parameters by their author's names in every layer and direction: `initialize(U="orthogonal", b_f=1.0)`.

        A name that is no parameter's own stands for all that begin with it and an underscore (`U`: `U_i U_f U_g U_o`).
        `W_highway` and `b_highway` are a highway's gates. Where a bias is stored as two summands (torch's), the first takes
        the value and the second is 0. Raises DataError for names and initialisers that there are not.
        """
        for key, init in inits.items():
            if self.highway and key in between.GATE:
                for layer in range(1, self.num_layers):
                    fill_(getattr(self, f"{key}_l{layer}"), init)
                continue
            for place in range(len(self._stored_names)):
                fill_named(self._runners[place // self._directions], self._stored(place), key, init)
        return self

    def _enter(self, x: Tensor | PackedSequence, lengths: Lengths | None, mask: Tensor | None,
               reset: Tensor | None, elapsed: Tensor | None, width: int | None = None) -> Batch:
        if elapsed is not None and not self.cell.uses_elapsed:
            raise ShapeError(f"{self.cell.name} reads no elapsed time (no argument dt); write elapsed=None")
        return enter(x, input_size=width or self.input_size, like=self._stored(0)[0], batch_first=self.batch_first,
                     lengths=lengths, mask=mask, reset=reset, elapsed=elapsed, seed=draw_seed(self))

    def _state_widths(self, index: int) -> list[int]:
        """The size of a state in each layer and direction: it differs only where it depends on a layer's input."""
        return [runner.state_sizes[index] for runner in self._runners for _ in range(self._directions)]

    def _enter_state(self, index: int, state: object, batch: Batch) -> list[Tensor]:
        """A user's initial state (layers * directions, N, size) as one tensor (N, size) each, in the batch's order."""
        name, widths = self.cell.states[index].name, self._widths[index]
        if not isinstance(state, Tensor):
            raise ShapeError(f"state {name} is a {type(state).__name__}; give a torch.Tensor")
        count, rows = len(widths), batch.x.shape[1]
        expected = (count, max(widths)) if batch.unbatched else (count, rows, max(widths))
        if tuple(state.shape) != expected:
            raise ShapeError(f"state {name} has the shape {tuple(state.shape)}; "
                             f"give (layers * directions, batch, size) = {expected}")
        state = enter_state(name, state, batch.x)
        state = batch.sort_rows(state.unsqueeze(1) if batch.unbatched else state, 1)
        return [row[:, :width] for row, width in zip(state.unbind(0), widths, strict=True)]

    def _leave_state(self, index: int, final: Sequence[Sequence[Tensor]], batch: Batch) -> Tensor:
        """A final state as (layers * directions, N, size), zeros beyond the size of a narrower layer."""
        values, widest = [states[index] for states in final], max(self._widths[index])
        if len(values) == 1:
            stacked = values[0].unsqueeze(0)
        else:
            stacked = torch.stack([nn.functional.pad(v, (0, widest - v.shape[1])) if v.shape[1] < widest else v
                                   for v in values])
        return leave_state(self.cell.states[index].name, batch.leave_state(stacked))

    def _initial_rows(self, index: int, batch: Batch) -> list[Tensor]:
        """The cell's own initial state, (N, size) for each layer and direction."""
        initial, rows, widths = self.cell.states[index].initial, batch.x.shape[1], self._widths[index]
        if min(widths) == max(widths):  # one for all: a kernel only reads its initial states
            return [batch.x.new_full((rows, widths[0]), initial)] * len(widths)
        return [batch.x.new_full((rows, width), initial) for width in widths]

    def _run(self, batch: Batch, states: Sequence[Sequence[Tensor]], record: dict[str, Tensor] | None = None,
             projection: Projection | None = None) -> tuple[tuple[Tensor, ...], list[Sequence[Tensor]]]:
        """The last layer's output (one tensor, or one for each direction where merge=None) and all final states.

        `states` has a tensor (N, size) per state for each layer and direction. `record` is filled with the trace. With a
        `projection`, x holds the first layer's input products, those of its directions side by side.
        """
        y, final = batch.x, []
        for layer, runner in enumerate(self._runners_for(batch)):
            x = y if projection is not None and layer == 0 else self._dropped(y, layer, batch)
            ways = self._ways(layer, states, batch)
            if projection is not None and layer == 0:
                ys, states_after = zip(*[projection.run(runner, x, way, batch.streams) for way in ways], strict=True)
            else:
                ys, states_after = runner.all(x, ways, batch.streams, self._joined(layer))
            final += states_after
            if record is not None:
                for way in ways:
                    inside = runner.trace(x, way.states, way.stored, batch.streams, way.place)
                    record.update({f"{name}_{suffix(layer, way.place.direction)}": v for name, v in inside.items()})
            if layer == self.num_layers - 1 and self.merge is None and self.bidirectional:
                return tuple(ys), final
            y = self._carried(layer, x, self._merged(ys))
        return (y,), final

    def _joined(self, layer: int) -> Joined:
        """Whether a layer's directions stand side by side in its output. What lies between layers, nobody else can write to."""
        if layer < self.num_layers - 1:
            return Joined.WRITTEN if self.merge in ("concat", None) else Joined.APART
        return self._last_joined if self.merge == "concat" else Joined.APART

    def _runners_for(self, batch: Batch) -> Sequence[Runner]:
        """What runs each layer; `_ways` gives it its stored parameters."""
        return self._runners

    def _ways(self, layer: int, states: Sequence[Sequence[Tensor]], batch: Batch) -> list[Way]:
        """A layer's directions."""
        numbers = [layer * self._directions + direction for direction in range(self._directions)]
        places = [Place(layer, direction, self.reverse != (direction == 1)) for direction in range(self._directions)]
        return [Way(states[number], self._stored(number), place) for number, place in zip(numbers, places, strict=True)]

    def _dropped(self, x: Tensor, layer: int, batch: Batch) -> Tensor:
        """A layer's input: in training, dropped out."""
        if not self.training:
            return x
        rate = self.dropout if layer else self.input_dropout
        return between.drop(x, rate, variational=self.variational, order=batch.order)

    def _carried(self, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """A layer's output with what is carried past it of its input, from the second layer on."""
        if layer and self.residual:
            return y + x
        return between.highway(x, y, *between.gate_of(self, suffix(layer, 0))) if layer and self.highway else y

    def _merged(self, outputs: Sequence[Tensor]) -> Tensor:
        return outputs[0] if len(outputs) == 1 else MERGES[self.merge or "concat"](outputs[0], outputs[1])


def hidden_sizes(hidden_size: HiddenSize, num_layers: int) -> tuple[int, ...]:
    """The size of each layer; ShapeError as of `sizes_given`."""
    sizes = sizes_given(hidden_size, num_layers)
    return sizes * int(num_layers) if len(sizes) == 1 else sizes


def sizes_given(hidden_size: HiddenSize, num_layers: int) -> tuple[int, ...]:
    """The size of each layer, or the one that all have; ShapeError for what is no size, and for a list that has not one for
    each layer. However many layers are named, it takes no memory for them."""
    count = whole("num_layers", num_layers, write="num_layers=1")
    if not isinstance(hidden_size, (list, tuple)):
        return (whole("hidden_size", hidden_size, write="hidden_size=64"),)
    if not hidden_size or count not in (1, len(hidden_size)):
        named = f"hidden_size={list(hidden_size)} and num_layers={num_layers}"
        raise ShapeError(message("a list of hidden sizes has one for each layer", came=named, write="hidden_size=[256, 128]"))
    return tuple(whole("hidden_size", size, write="hidden_size=64") for size in hidden_size)


def _recomputed(recompute: object, backend: str) -> int | None:
    if recompute is None:
        return None
    steps = whole("recompute", recompute, rule="is a number of steps, at least 1", write="recompute=64, or None", error=DataError)
    if backend == "eager":
        raise DataError(f"recompute={recompute} is a kernel's, and the eager backend keeps what autograd keeps; "
                        "write backend=\"auto\", or use torch.utils.checkpoint")
    return steps


def suffix(layer: int, direction: int) -> str:
    """torch's suffix: "l0", "l1_reverse"."""
    return f"l{layer}_reverse" if direction else f"l{layer}"


def draw_seed(module: nn.Module) -> Tensor | None:
    """A seed for a call's coins from torch's generator; None where nothing is drawn."""
    cell: Any = module.cell
    return torch.randint(2**63 - 1, ()) if module.training and cell.has_coins else None


def by_name(runner: Runner, stored: Sequence[Tensor], name: str) -> Tensor:
    """One of a runner's parameters by its author's name."""
    names = [parameter.name for parameter in runner.cell.parameters(runner.sizes)]
    if name not in names:
        raise DataError(f"{runner.cell.name} has no parameter {name!r}; it has {', '.join(names)}")
    return runner.packing.unpack(stored)[names.index(name)]


def names_for(runner: Runner, key: str) -> list[str]:
    """The parameters that a name stands for: its own, or all that begin with it and an underscore."""
    names = [parameter.name for parameter in runner.cell.parameters(runner.sizes)]
    return [key] if key in names else [name for name in names if name.startswith(f"{key}_")]


def fill_named(runner: Runner, stored: Sequence[Tensor], key: str, init: Init) -> None:
    """Fill the parameters that `key` stands for; DataError where there are none."""
    names = [parameter.name for parameter in runner.cell.parameters(runner.sizes)]
    chosen = names_for(runner, key)
    if not chosen:
        raise DataError(f"{runner.cell.name} has no parameter {key!r}; it has {', '.join(names)}")
    places = dict(zip(names, runner.packing.parts(stored), strict=True))
    for name in chosen:
        if not places[name]:
            raise DataError(f"{name} is not stored: this module was made with bias=False; write bias=True")
        first, *rest = places[name]
        fill_(first, init, dict(zip(names, runner.packing.unpack(stored), strict=True)))
        for summand in rest:
            fill_(summand, 0.0)


def check_state_names(cell: Cell, state: object) -> None:
    """ShapeError unless `state` is a dict of states that the cell has."""
    names = [state.name for state in cell.states]
    if not isinstance(state, Mapping):
        raise ShapeError(f"state is a {type(state).__name__}; give a dict with {', '.join(names)}")
    for name in state:
        if name not in names:
            raise ShapeError(f"{cell.name} has no state {name!r}; its states are {', '.join(names)}")


def enter_state(name: str, state: Tensor, like: Tensor) -> Tensor:
    """A state in the dtype of the kernels. The count of steps, `t`, is int64 outside."""
    if name == "t" and not state.dtype.is_floating_point:
        return state.to(like.dtype)
    return checked_tensor(f"state {name}", state, like)


def leave_state(name: str, state: Tensor) -> Tensor:
    """The way back of `enter_state`."""
    return state.round().to(torch.int64) if name == "t" else state
