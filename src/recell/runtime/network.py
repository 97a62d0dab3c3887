"""The saved network as arrays and kernels: embedding, layers of the cell, and the output layer where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.compiler.backends.cpu.backend import CpuKernel
from recell.compiler.backends.cpu.stream import Packed, packed_affine
from recell.compiler.build import Call, Kernel, backends, build
from recell.errors import CellError, ModelError, RecellError, ShapeError
from recell.language.carried import CONNECTIONS, carry_input
from recell.language.cell import Cell

Array = NDArray[Any]
_OF_TORCH = ("eager",)  # it runs on torch's tensors, and a saved model must not need torch
MOST_UNITS = 1 << 24  # of a value of one row
States = tuple[Array, ...]  # one (streams, size) for each of the cell's states


@dataclass(frozen=True)
class Layer:
    """One layer: its kernel, and its parameters in the cell's order."""

    kernel: Kernel
    parameters: States
    state_sizes: tuple[int, ...]
    initial: tuple[float, ...]

    def initial_states(self, streams: int, dtype: str) -> States:
        """What every state is before the first step."""
        pairs = zip(self.state_sizes, self.initial, strict=True)
        return tuple(np.full((streams, size), value, dtype) for size, value in pairs)

    def run(self, x: Array, states: States) -> tuple[Array, States]:
        """x (T, streams, input) -> y (T, streams, output) and the states after it."""
        forward = self.kernel.forward(Call(x=x, states=states, parameters=self.parameters), save=False)
        return forward.y, forward.states


@dataclass(frozen=True)
class Network:
    """embedding -> layers -> output layer; an output of None: the cell brings its own."""

    cell: Cell
    embedding: Array  # (V, E)
    layers: tuple[Layer, ...]
    output_weight: Array | None  # (H, V), transposed for a step's product
    output_bias: Array | None  # (V,)
    dtype: str  # of every array
    halves: bool = False  # products round their operands to bf16

    @property
    def input_size(self) -> int:
        """How wide one embedded symbol is."""
        return self.embedding.shape[1]

    @property
    def vocabulary_size(self) -> int:
        """How many symbols there are."""
        return self.embedding.shape[0]

    @cached_property
    def packs(self) -> tuple[Packed, ...]:
        """Each layer's weights as the native kernel's streams read them, packed once for all sessions."""
        return tuple(layer.kernel.packed(layer.parameters) for layer in self.layers if isinstance(layer.kernel, CpuKernel))

    @cached_property
    def packed_output(self) -> Packed | None:
        """The output layer, packed; None where the cell brings its own."""
        if self.output_weight is None or self.output_bias is None:
            return None
        return packed_affine(self.output_weight.T, self.output_bias, halves=self.halves)

    def scores(self, y: Array) -> Array:
        """The logits, (..., V), of the last layer's output."""
        if self.output_weight is None:
            return y
        return y @ self.output_weight + self.output_bias


def make_network(
    cell: Cell, description: Mapping[str, Any], tensors: Mapping[str, Array], *, backend: str, dtype: str
) -> Network:
    """The network of a config's ``network`` entry; raises ModelError where the tensors are not the cell's."""
    check_tensors(cell, description, tensors)
    if dtype not in ("float32", "float64", "bfloat16"):
        raise ModelError(f"a model runs in float32, float64 or bfloat16 (products alone); came dtype={dtype!r}")
    number = "float32" if dtype == "bfloat16" else dtype
    arrays = {name: np.ascontiguousarray(array, number) for name, array in tensors.items()}
    sizes = layer_sizes(cell, description)
    cells = layer_cells(cell, description, sizes)
    layers = tuple(_layer(cells[n], sizes[n], n, arrays, backend, dtype) for n in range(len(sizes)))
    weight, bias = arrays.get("output.weight"), arrays.get("output.bias")
    transposed = None if weight is None else weight.T.copy()
    return Network(cell, arrays["embedding.weight"], layers, transposed, bias, number, dtype == "bfloat16")


def layer_sizes(cell: Cell, description: Mapping[str, Any]) -> list[dict[str, int]]:
    """Every size's number in each layer: a layer reads what the one before puts out."""
    width, found = description["input_size"], list[dict[str, int]]()
    hidden, count = description["hidden_size"], description["num_layers"]
    for size in hidden if isinstance(hidden, (list, tuple)) else repeat(hidden, count):
        try:
            found.append(cell.resolve(width, size, description["sizes"]))
        except (ShapeError, CellError) as error:
            raise ModelError(f"the sizes do not fit the cell: {error}") from None
        _check_width(cell, found[-1])
        width = cell.output_size(found[-1])
    return found


def layer_cells(cell: Cell, description: Mapping[str, Any], sizes: Sequence[Mapping[str, int]]) -> list[Cell]:
    """The cell of each layer; from the second on one that carries its input past it, where the description says so."""
    connections = [name for name in CONNECTIONS if description.get(name)]
    if len(connections) > 1:
        raise ModelError(f"a layer has one connection around it; came {' and '.join(connections)}")
    try:
        return [carry_input(cell, own, connections[0]) if number and connections else cell for number, own in enumerate(sizes)]
    except CellError as error:
        raise ModelError(f"the layers do not fit: {error}") from None


def _check_width(cell: Cell, sizes: Mapping[str, int]) -> None:
    """Sizes that no tensor has, such as a state's without a matrix, are believed up to here: beyond, a file is damaged."""
    for node in cell.graph.nodes:
        for size in node.shape.dims:
            if size.evaluate(sizes) > MOST_UNITS and node.shape.is_row:
                raise ModelError(f"the size {size} of a value of {cell.name} is {size.evaluate(sizes)}; "
                                 f"no layer is wider than {MOST_UNITS}")


def check_tensors(
    cell: Cell,
    description: Mapping[str, Any],
    tensors: Mapping[str, Array],
    vocabulary_size: int | None = None,
) -> None:
    """Raise ModelError unless the tensors are exactly those of this network."""
    if description["num_layers"] > len(tensors):  # so that a damaged number makes no long work
        raise ModelError(f"{description['num_layers']} layers cannot have {len(tensors)} tensors in all")
    sizes = layer_sizes(cell, description)
    if vocabulary_size is None:
        vocabulary_size = len(tensors.get("embedding.weight", ()))
    expected: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary_size, description["input_size"])}
    for number, (own, layer) in enumerate(zip(layer_cells(cell, description, sizes), sizes, strict=True)):
        expected |= {f"recurrent.{p.name}_l{number}": p.shape for p in own.parameters(layer)}
    width = cell.output_size(sizes[-1])
    if not cell.brings_output:
        expected |= {"output.weight": (vocabulary_size, width), "output.bias": (vocabulary_size,)}
    elif width != vocabulary_size:
        raise ModelError(f"the cell puts out {width} scores, the vocabulary has {vocabulary_size} entries")
    _compare(expected, {name: array.shape for name, array in tensors.items()})


def checked_backend(name: str) -> str:
    """``name``, or the error that says which there are: no other backend takes over in silence."""
    usable = [backend for backend in backends() if backend not in _OF_TORCH]
    if name not in usable:
        raise RecellError(f"the backend {name!r} is not here; there are {', '.join(usable)}: name one (backend=)")
    return name


def _compare(expected: Mapping[str, tuple[int, ...]], came: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if name not in came:
            raise ModelError(f"model.safetensors has no tensor {name!r}, which the cell needs")
        if came[name] != shape:
            raise ModelError(f"the tensor {name!r} has the shape {came[name]}; the cell needs {shape}")
    if further := sorted(came.keys() - expected.keys()):
        raise ModelError(f"model.safetensors has tensors that the cell does not know: {', '.join(further)}")


def _layer(cell: Cell, sizes: Mapping[str, int], number: int, arrays: Mapping[str, Array], backend: str, dtype: str) -> Layer:
    parameters = tuple(arrays[f"recurrent.{p.name}_l{number}"] for p in cell.parameters(sizes))
    kernel = build(cell, sizes, backend=backend, dtype=dtype)
    return Layer(kernel, parameters, cell.state_sizes(sizes), tuple(state.initial for state in cell.states))
