"""`Recurrent`: any cell, in layers and directions, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from recell import cells
from recell.errors import CellError, DataError, ShapeError
from recell.language.cell import Cell
from recell.language.restored import learn_initial
from recell.nn import between
from recell.nn.batch import Batch, Lengths
from recell.nn.bridge import Runner
from recell.nn.calls import Way
from recell.nn.init import Init, fill_, uniform_fan_in_
from recell.nn.layers import MERGES, HiddenSize, Layers, Output, check_state_names, hidden_sizes
from recell.nn.projection import gather, is_worth_a_table, projection_of
from recell.nn.tensors import is_watched, name_of

State = dict[str, Tensor]


class Recurrent(Layers):
    """Layers of any cell, one stored parameter for each of its author's names: `U_f_l0`, `U_f_l1_reverse`.

    `cell` is a Cell or a name in `recell.cells`. `hidden_size` may be a list, a size for each layer. `merge` joins two
    directions by "concat", "sum", "mul" or "ave"; None leaves the last layer's outputs a pair (layers below are
    concatenated). `reverse` runs the one direction from the end. `sizes` gives the cell's further sizes.

    Around every layer after the first, whose input must be as wide as its output: `residual` adds its input x to its output
    y; `highway` gives t * y + (1 - t) * x with a gate t = sigmoid(W_highway x + b_highway) of its own (Srivastava et al. 2015,
    Zhang et al. 2016). In training, `input_dropout` drops units of x before the first layer, `dropout` between layers, each
    step by itself; with `variational` one mask is drawn for all steps of a call (Gal and Ghahramani 2016).
    `learn_initial_state` makes the initial state a parameter of each layer and direction, `initial_h_l0`: a missing state is it,
    and a reset restores it.

    `backend` "auto" is the CPU kernel for float32 and float64 tensors on the CPU and torch operators elsewhere.
    `recompute=k` keeps the states of every k-th step alone for the backward pass and computes the steps between again: the
    memory of k steps in place of all, for one more forward pass.
    """

    def __init__(self, cell: Cell | str, input_size: int, hidden_size: HiddenSize, num_layers: int = 1, *,
                 bidirectional: bool = False, merge: str | None = "concat", reverse: bool = False,
                 batch_first: bool = False, dropout: float = 0.0, sizes: Mapping[str, int] | None = None,
                 residual: bool = False, learn_initial_state: bool = False, backend: str = "auto",
                 device: torch.device | str | None = None, dtype: torch.dtype | None = None,
                 recompute: int | None = None, highway: bool = False, input_dropout: float = 0.0,
                 variational: bool = False) -> None:
        cell = as_cell(cell)
        every_size = hidden_sizes(hidden_size, num_layers)
        _check_options(cell, len(every_size), bidirectional, merge, reverse)
        between.check_between(layers=len(every_size), residual=residual, highway=highway,
                              rates={"dropout": dropout, "input_dropout": input_dropout},
                              one_output=merge is not None or not bidirectional or len(every_size) == 1)
        super().__init__(cell, input_size, every_size, bidirectional=bidirectional, merge=merge,
                         reverse=reverse, batch_first=batch_first, dropout=float(dropout), sizes=sizes,
                         residual=residual, highway=highway, input_dropout=float(input_dropout), variational=variational,
                         backend=backend, recompute=recompute)
        self.hidden_size = every_size if isinstance(hidden_size, (list, tuple)) else every_size[0]
        self._make_runners(learn_initial_state)
        self._initial_names: list[tuple[str, ...]] = []  # of learned initial states, for each layer and direction
        for layer, direction, suffix in self._places():
            runner, own = self._restoring[layer], len(cell.graph.parameters)
            names = make_parameters(self, runner.cell, runner.sizes, every_size[layer], f"_{suffix}", device, dtype)
            self._stored_names.append(names[:own])
            self._initial_names.append(names[own:])
            if highway and layer and not direction:
                self._make_gate(layer, suffix, device, dtype)

    def _make_runners(self, learn_initial_state: bool) -> None:
        """What runs with learned initial states, and for tokens: made now, as torch.compile could not make it later."""
        self.learn_initial_state = learn_initial_state
        self._restoring = [_restoring(runner) for runner in self._runners] if learn_initial_state else self._runners
        self._projections = [projection_of(self._runners[0], self.hidden_sizes[0])]
        if learn_initial_state:
            self._projections.append(projection_of(self._restoring[0], self.hidden_sizes[0]))

    def _learn_initial_state(self) -> None:
        """Become what `learn_initial_state=True` makes: the states' initial numbers become parameters."""
        if self.learn_initial_state:
            return
        self._make_runners(True)
        for place, (layer, _, suffix) in enumerate(self._places()):
            runner, like, own = self._restoring[layer], self._stored(place)[0], len(self.cell.graph.parameters)
            self._initial_names[place] = make_parameters(self, runner.cell, runner.sizes, self.hidden_sizes[layer], f"_{suffix}",
                                                         like.device, like.dtype, after=own)

    def _make_gate(self, layer: int, suffix: str, device: Any, dtype: Any) -> None:
        for name in between.GATE:
            free_name(self, self.cell, name, f"_{suffix}")
        between.make_gate(self, suffix, self._runners[layer].sizes["input"], device, dtype)

    def _restores(self, batch: Batch) -> bool:
        """Whether a reset restores learned states: they are parameters of the layers' cells then."""
        return self.learn_initial_state and batch.streams.reset is not None

    def _runners_for(self, batch: Batch) -> Sequence[Runner]:
        return self._restoring if self._restores(batch) else self._runners

    def _ways(self, layer: int, states: Sequence[Sequence[Tensor]], batch: Batch) -> list[Way]:
        ways = super()._ways(layer, states, batch)
        if not self._restores(batch):
            return ways
        names = self._initial_names[layer * self._directions :]
        return [way._replace(stored=[*way.stored, *(getattr(self, name) for name in initial)])
                for way, initial in zip(ways, names, strict=False)]

    def reset_parameters(self) -> None:
        """Draw every parameter anew, as the constructor did."""
        for place, (layer, direction, suffix) in enumerate(self._places()):
            runner, names = self._restoring[layer], (*self._stored_names[place], *self._initial_names[place])
            initialise_all(self, runner.cell, runner.sizes, names, self.hidden_sizes[layer])
            if self.highway and layer and not direction:
                between.fill_gate(self, suffix)

    def forward(self, x: Tensor | PackedSequence, state: Mapping[str, Tensor] | None = None, *,
                lengths: Lengths | None = None, mask: Tensor | None = None, reset: Tensor | None = None,
                elapsed: Tensor | None = None) -> tuple[Output, State]:
        """y (T, N, directions * output) and the final state, a dict of name -> (layers * directions, N, size).

        x (T, N, input), or whole numbers (T, N): one-hot tokens, for which columns of W are gathered; with `batch_first` x,
        y, mask, reset and elapsed are (N, T, ...). A single sequence (T, input) and a PackedSequence come back as they came.
        `state`: names left out start at the cell's initial value. `lengths` (N,): rows in any order, zero allowed; y is 0
        beyond them. `mask` (T, N) bool: False holds the state. `reset` (T, N) bool: True at t cuts between t-1 and t.
        `elapsed` (T, N): the time since the step before. The gradient is computed from y: torch refuses it once y was written to.
        """
        if isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex():
            return self.embedded(x, None, state, lengths=lengths, mask=mask, reset=reset, elapsed=elapsed)
        batch = self._enter(x, lengths, mask, reset, elapsed)
        return self._leave(batch, *self._run(batch, self._initial(state, batch)))

    def embedded(self, tokens: Tensor, embedding: Tensor | None, state: Mapping[str, Tensor] | None = None, *,
                 lengths: Lengths | None = None, mask: Tensor | None = None, reset: Tensor | None = None,
                 elapsed: Tensor | None = None) -> tuple[Output, State]:
        """`forward` on the rows of `embedding` (V, input) that tokens (T, N) name; None: one-hot of `input` symbols.

        The first layer's input products are then rows of a table of V products, gathered, and its gradient is summed by token:
        nothing is multiplied for each token. Where that would be slower (a large V, a narrow embedding) or the cell reads x in
        another way, the embedding is looked up and x computed with as ever. Results agree within rounding. Raises
        ShapeError or DataError for tokens that do not fit, CellError for one-hot tokens of a cell that needs x itself.
        """
        self._check_tokens(tokens, embedding)
        worth = embedding is None or is_worth_a_table(len(embedding), tokens.numel(), self.input_size)
        looked_up = embedding is not None and (not worth or self._drops_input)  # dropout takes units of x itself
        if self._projections[0] is None or looked_up:
            if embedding is None:
                raise CellError(f"{self.cell.name} reads x in another way than by products, so that tokens are no input for it; "
                                "write torch.nn.functional.one_hot(tokens, size).float()")
            x = functional.embedding(tokens, embedding)
            return self.forward(x, state, lengths=lengths, mask=mask, reset=reset, elapsed=elapsed)
        tables = [self._projections[0].table(self._runners[0], self._stored(n), embedding) for n in range(self._directions)]
        x = gather(tables[0] if len(tables) == 1 else torch.cat(tables, 1), tokens)
        batch = self._enter(x, lengths, mask, reset, elapsed, width=x.shape[-1])
        if embedding is None and self._drops_input:
            batch = batch._replace(x=self._without_symbols(batch, tokens))
        projection = self._projections[self._restores(batch)]
        return self._leave(batch, *self._run(batch, self._initial(state, batch), projection=projection))

    @property
    def _drops_input(self) -> bool:
        return self.training and self.input_dropout > 0

    def _without_symbols(self, batch: Batch, tokens: Tensor) -> Tensor:
        """The first layer's input products with one-hot symbols dropped out."""
        tokens = tokens.unsqueeze(1) if batch.unbatched else tokens.t() if self.batch_first else tokens
        return between.drop_symbols(batch.x, batch.sort_rows(tokens, 1), self.input_size, self.input_dropout,
                                    variational=self.variational, order=batch.order)

    def _check_tokens(self, tokens: Tensor, embedding: Tensor | None) -> None:
        if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int32, torch.int64):
            came = name_of(tokens.dtype) if isinstance(tokens, Tensor) else type(tokens).__name__
            raise ShapeError(f"tokens are a tensor of int64 or int32; came {came}; "
                             "write x.long() for tokens, x.float() for numbers")
        if tokens.dim() not in (1, 2):
            raise ShapeError(f"x is {name_of(tokens.dtype)} with the shape {tuple(tokens.shape)}; tokens are (T, N), or (N, T) "
                             "with batch_first, or (T,); for numbers write x.float()")
        if embedding is not None and (embedding.dim() != 2 or embedding.shape[1] != self.input_size):
            raise ShapeError(f"the embedding is {tuple(embedding.shape)}; this module takes (V, {self.input_size})")
        count = self.input_size if embedding is None else len(embedding)
        if torch.compiler.is_compiling() or tokens.is_meta or is_watched(tokens) or not tokens.numel():
            return  # a graph may not depend on the tokens' values: there the gather itself checks them
        low, high = (int(v) for v in torch.aminmax(tokens))
        if low < 0 or high >= count:
            raise DataError(f"tokens go from 0 to {count - 1}; came {low if low < 0 else high}")

    def _leave(self, batch: Batch, outputs: tuple[Tensor, ...], final: list[Any]) -> tuple[Output, State]:
        left = tuple(batch.leave(y) for y in outputs)
        return (left if len(left) == 2 else left[0]), self._leave_states(batch, final)  # type: ignore[return-value]

    def trace(self, x: Tensor, state: Mapping[str, Tensor] | None = None, *, lengths: Lengths | None = None,
              mask: Tensor | None = None, reset: Tensor | None = None,
              elapsed: Tensor | None = None) -> dict[str, Tensor]:
        """Every named local and every state's new value, (T, N, size) each, as "i_l0", "h_l1_reverse"."""
        return self._traced(x, state, lengths, mask, reset, elapsed)[0]

    def _traced(self, x: Tensor, state: Mapping[str, Tensor] | None = None, lengths: Lengths | None = None,
                mask: Tensor | None = None, reset: Tensor | None = None,
                elapsed: Tensor | None = None) -> tuple[dict[str, Tensor], Output, State]:
        """`trace`, y and the final state of the same run."""
        batch, record = self._enter(x, lengths, mask, reset, elapsed), dict[str, Tensor]()
        y, final = self._leave(batch, *self._run(batch, self._initial(state, batch), record))
        return {name: batch.leave_padded(value) for name, value in record.items()}, y, final

    def _initial(self, state: Mapping[str, Tensor] | None, batch: Batch) -> list[list[Tensor]]:
        """A tensor (N, size) per state for each layer and direction: the user's, the learned one, or the cell's."""
        if state is not None:
            check_state_names(self.cell, state)
        given = state or {}
        columns = [self._initial_column(index, given, batch) for index in range(len(self.cell.states))]
        return [list(row) for row in zip(*columns, strict=True)]

    def _initial_column(self, index: int, given: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        state = self.cell.states[index]
        if state.name in given:
            return self._enter_state(index, given[state.name], batch)
        if self.learn_initial_state and state.name != "t":
            learned = [getattr(self, f"initial_{state.name}_{suffix}") for _, _, suffix in self._places()]
            return [value.expand(batch.x.shape[1], -1) for value in learned]
        return self._initial_rows(index, batch)

    def _leave_states(self, batch: Batch, final: list[Any]) -> State:
        return {state.name: self._leave_state(index, final, batch) for index, state in enumerate(self.cell.states)}

    def extra_repr(self) -> str:
        """The constructor's arguments where they differ from the defaults."""
        told = [f"{self.cell.name}, {self.input_size}, {self.hidden_size}"]
        told += [f"num_layers={self.num_layers}"] if self.num_layers != 1 and not isinstance(self.hidden_size, tuple) else []
        told += [f"merge={self.merge!r}"] if self.merge != "concat" else []
        flags = ("bidirectional", "reverse", "batch_first", "residual", "highway", "learn_initial_state", "variational")
        told += [f"{flag}=True" for flag in flags if getattr(self, flag)]
        told += [f"{name}={getattr(self, name)}" for name in ("dropout", "input_dropout") if getattr(self, name)]
        told += [f"sizes={self._sizes}"] if self._sizes else []
        told += [f"backend={self.backend!r}"] if self.backend != "auto" else []
        told += [f"recompute={self.recompute}"] if self.recompute is not None else []
        return ", ".join(told)


def _restoring(runner: Runner) -> Runner:
    """The runner of the same layer whose resets restore learned states."""
    return Runner(learn_initial(runner.cell), runner.sizes, runner.backend, recompute=runner.recompute)


def as_cell(cell: Cell | str) -> Cell:
    """A Cell from a Cell or from a name in `recell.cells`."""
    if isinstance(cell, str):
        return cells.get(cell)
    if not isinstance(cell, Cell):
        raise CellError(f"cell is a {type(cell).__name__}; give a function decorated with @recell.cell, or a name")
    return cell


def make_parameters(module: nn.Module, cell: Cell, sizes: Mapping[str, int], hidden_size: int, suffix: str,
                    device: Any, dtype: Any, after: int = 0) -> tuple[str, ...]:
    """Register a cell's parameters on a module, those `after` the first ones alone, the frozen ones as buffers; their names, in
    the cell's order."""
    names: list[str] = []
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ShapeError(f"dtype is a torch dtype of floating point; came {dtype!r}; write dtype=torch.float32")
    made: dict[str, Tensor] = {}
    for parameter in cell.parameters(sizes)[after:]:
        value = initialise(torch.empty(parameter.shape, device=device, dtype=dtype), parameter.init, hidden_size, made)
        made[parameter.name] = value
        names.append(free_name(module, cell, parameter.name, suffix))
        if parameter.trainable:
            module.register_parameter(names[-1], nn.Parameter(value))
        else:
            module.register_buffer(names[-1], value)
    return tuple(names)


def free_name(module: nn.Module, cell: Cell, name: str, suffix: str) -> str:
    """The name that a tensor is stored under; CellError where the module has an attribute of this name already."""
    stored = f"{name}{suffix}"
    if hasattr(module, stored):
        raise CellError(f"{cell.name}: {name!r} cannot be stored as {stored!r}, which {type(module).__name__} is already using; "
                        f"write another name in the cell, such as {name}_1")
    return stored


def initialise_all(module: nn.Module, cell: Cell, sizes: Mapping[str, int], names: Sequence[str], hidden_size: int) -> None:
    """Draw the parameters that a module stores under these names anew."""
    made: dict[str, Tensor] = {}
    for name, parameter in zip(names, cell.parameters(sizes), strict=True):
        made[parameter.name] = initialise(getattr(module, name), parameter.init, hidden_size, made)


def initialise(tensor: Tensor, init: Init | None, hidden_size: int, others: Mapping[str, Tensor]) -> Tensor:
    """By the cell's own `init`, which may read `others`, or uniform in +-1/sqrt(hidden_size) as torch.nn does."""
    if init is None:
        return uniform_fan_in_(tensor, hidden_size)
    return fill_(tensor, init, others)


def _check_options(cell: Cell, num_layers: int, bidirectional: bool, merge: str | None, reverse: bool) -> None:
    if merge is not None and merge not in MERGES:
        raise DataError(f"there is no merge {merge!r}; there are {', '.join(MERGES)} and None")
    if reverse and bidirectional:
        raise DataError("bidirectional=True already runs in reverse too; write reverse=False")
    if cell.brings_output and num_layers > 1:
        raise CellError(f"{cell.name} brings its own output layer and can only be the last layer; write num_layers=1")
