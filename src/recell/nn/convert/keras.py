"""Keras's recurrent layers: configuration and weights in, a `Recurrent` out.

Source: github.com/keras-team/keras, keras/src/layers/rnn (Keras 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recell import cells
from recell.errors import CellError, DataError, ShapeError, message, unknown
from recell.language.cell import Cell
from recell.nn.convert.activations import keras_activation, linear
from recell.nn.convert.fill import Named, Stacked, as_array, by_author, expect_shape, filled
from recell.nn.layers import MERGES
from recell.nn.recurrent import Recurrent

# Keras's layer -> the author's gates in Keras's order
_GATES = {"SimpleRNN": ("",), "LSTM": ("i", "f", "g", "o"), "GRU": ("z", "r", "n")}
_WRAPPERS = ("Bidirectional", "RNN", "TimeDistributed", "Dense")
_COMPUTING = ("units", "activation", "recurrent_activation", "use_bias", "go_backwards", "reset_after")
_RETURNING = ("return_sequences", "return_state", "zero_output_for_mask")  # `keras_outputs` takes these
_DTYPES = ("float32", "float64", "float16", "bfloat16")
_ROLES = ("initializer", "regularizer", "constraint")
_LEARNING = (  # what changes how a layer learns or is built, and not what its weights compute
    "name", "trainable", "dtype", "seed", "implementation", "unroll", "unit_forget_bias", "activity_regularizer",
    *(f"{part}_{role}" for part in ("kernel", "recurrent", "bias") for role in _ROLES),
)  # fmt: skip
_UNSUPPORTED = {  # refused unless false or 0
    "dropout": "dropout=0.0: the layer as it is after learning",
    "recurrent_dropout": "recurrent_dropout=0.0: the layer as it is after learning",
    "stateful": "stateful=False, and hand on the state: y, state = layer(x, state)",
}

Config = Mapping[str, Any]


class _Layer(NamedTuple):
    """One layer of Keras in one direction: its cell, its weights by the author's names, and its way through time."""

    cell: Cell
    units: int
    named: Named
    backwards: bool


def from_keras(kind: str, weights: Sequence[Any], **config: Any) -> Any:
    """The module that computes a Keras layer: `from_keras("LSTM", layer.get_weights(), **layer.get_config())`.

    kind: "SimpleRNN", "LSTM", "GRU"; "RNN" with ``cell`` (LSTMCell, GRUCell, SimpleRNNCell, or StackedRNNCells of one kind,
    of any widths: layers); "Bidirectional" with ``layer``, ``merge_mode`` and maybe ``backward_layer``; "Dense" and
    "TimeDistributed" of it, a torch.nn.Linear, which takes any leading dimensions. What is wrapped is written as get_config
    does: ``layer={"class_name": "GRU", "config": {"units": 4}}``. ``dtype`` is the module's, whatever the weights came in: a
    dtype of torch, or Keras's name or policy (a wrapper's own); torch's default dtype if it is not given.
    weights: kernel (D, gates * U), recurrent kernel (U, gates * U) and, with ``use_bias``, bias (gates * U,), for a GRU with
    ``reset_after`` (2, gates * U); those of the forward layer before those of the backward layer, cell after cell.
    Without ``use_bias`` the module's biases are zeros. ``unit_forget_bias`` only says how Keras draws a bias.

    The module is batch_first, as Keras is: `y, state = layer(x, {"h": h0, "c": c0}, mask=mask)` with states (1 or 2, N, U).
    It always gives all steps and the state; `keras_outputs` makes of them what Keras returns. Activations are names of Keras 3
    or functions of recell's. A convolution (ConvLSTM1D, ...), dropout, stateful and whatever else is not computed is refused by
    name: CellError, DataError or, for weights that do not fit, ShapeError.
    """
    if not isinstance(weights, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DataError(message("weights are a list of arrays", came=type(weights).__name__, write="layer.get_weights()"))
    arrays = [as_array(f"weights[{number}]", given) for number, given in enumerate(weights)]
    dtype = _dtype(config.get("dtype"))
    if kind in _GATES:
        layer = _layer(kind, arrays, config)
        return filled(layer.cell, [[layer.named]], reverse=layer.backwards, batch_first=True, dtype=dtype)
    if kind == "Bidirectional":
        return _bidirectional(arrays, config, dtype)
    if kind == "RNN":
        return _stacked(arrays, config, dtype)
    if kind == "TimeDistributed":
        name, inner = _wrapped("TimeDistributed", "layer", config)
        _only(kind, config, ("layer", "name", "trainable", "dtype"))
        if name != "Dense":
            raise CellError(message("TimeDistributed is supported around Dense alone", came=name, write="the layer itself"))
        return _dense(arrays, inner, dtype)
    if kind == "Dense":
        return _dense(arrays, config, dtype)
    why = ": its recurrence is a convolution, not a product" if "Conv" in str(kind) else ""
    raise CellError(message(f"from_keras does not support {kind!r}{why}", write=", ".join((*_GATES, *_WRAPPERS))))


def keras_outputs(
    module: Recurrent,
    y: Any,
    state: Mapping[str, Tensor],
    *,
    mask: Tensor | None = None,
    return_sequences: bool = False,
    return_state: bool = False,
    zero_output_for_mask: bool = False,
) -> Any:
    """What the Keras layer returns, from what the module of `from_keras` returned.

    The last output (N, U), or with ``return_sequences`` every step's, (N, T, U): in the order of processing where the layer
    goes backwards, in that of time where it is bidirectional. With ``return_state`` a tuple: the output, then h (and c), those
    of the forward layer before those of the backward layer; of stacked cells, one entry for each cell. ``mask`` (N, T) is
    needed for ``zero_output_for_mask``, which acts on sequences alone.

    One thing differs: before a row's first unmasked step recell's output is the initial state, Keras's is 0.
    """
    if return_sequences and zero_output_for_mask and mask is not None:
        y = tuple(part * mask[..., None] for part in y) if isinstance(y, tuple) else y * mask[..., None]
    if not return_sequences:
        y = _merged(module, state["h"])
    elif module.reverse:
        y = y.flip(1)
    return (y, *_states(module, state)) if return_state else y


def _merged(module: Recurrent, h: Tensor) -> Any:
    """The last layer's last outputs, merged as its sequences are."""
    h = h[..., : module.hidden_sizes[-1]]  # states of layers of different widths are as wide as the widest
    if not module.bidirectional:
        return h[-1]
    return (h[-2], h[-1]) if module.merge is None else MERGES[module.merge](h[-2], h[-1])


def _states(module: Recurrent, state: Mapping[str, Tensor]) -> tuple[Any, ...]:
    widths = [width for width in module.hidden_sizes for _ in range(1 + module.bidirectional)]
    places: list[tuple[Any, ...]] = [
        tuple(part[:, :width] for part in place)
        for width, place in zip(widths, zip(*[s.unbind(0) for s in state.values()], strict=True), strict=True)
    ]
    if module.num_layers == 1:
        return tuple(part for place in places for part in place)
    return tuple(place[0] if len(place) == 1 else place for place in places)


def _layer(kind: str, arrays: Sequence[Any], config: Config) -> _Layer:
    """A layer from all of the given weights."""
    _only(kind, config, (*_COMPUTING, *_RETURNING, *_LEARNING, *_UNSUPPORTED))
    for name, instead in _UNSUPPORTED.items():
        if config.get(name):
            raise CellError(message(f"{name} is not supported", came=config[name], write=instead))
    use_bias = config.get("use_bias", True)
    _expect_count(kind, arrays, 3 if use_bias else 2)
    units, gates = config.get("units", arrays[1].shape[0] if arrays[1].ndim else 0), _GATES[kind]
    reset_after = kind == "GRU" and config.get("reset_after", True)
    expect_shape("kernel", arrays[0], (-1, len(gates) * units))
    expect_shape("recurrent_kernel", arrays[1], (units, len(gates) * units))
    if use_bias:
        expect_shape("bias", arrays[2], (2, len(gates) * units) if reset_after else (len(gates) * units,))
    biases: list[Any] = [] if not use_bias else list(arrays[2]) if reset_after else [arrays[2]]
    cell = _cell(kind, config)
    named = by_author(cell, gates, Stacked(arrays[0].T, arrays[1].T, *biases))
    return _Layer(cell, units, named, bool(config.get("go_backwards")))


def _cell(kind: str, config: Config) -> Cell:
    activation = keras_activation(config.get("activation", "tanh"))
    if kind == "SimpleRNN":
        return cells.get("Elman")(activation=activation)
    gate = keras_activation(config.get("recurrent_activation", "sigmoid"))
    if kind == "LSTM":
        return cells.get("LSTM")(gate_activation=gate, activation=activation, output_activation=activation)
    name = "GRU" if config.get("reset_after", True) else "GRUResetBefore"
    return cells.get(name)(gate_activation=gate, activation=activation)


def _bidirectional(arrays: Sequence[Any], config: Config, dtype: torch.dtype | None) -> Recurrent:
    _only("Bidirectional", config, ("layer", "backward_layer", "merge_mode", *_LEARNING))
    half = len(arrays) // 2
    one = _wrapped("Bidirectional", "layer", config)
    other = _wrapped("Bidirectional", "backward_layer", config) if config.get("backward_layer") else one
    for name, _ in (one, other):
        if name not in _GATES:
            raise CellError(message(f"Bidirectional of {name!r} is not supported", write=", ".join(_GATES)))
    forward, backward = _layer(one[0], arrays[:half], one[1]), _layer(other[0], arrays[half:], other[1])
    if (forward.cell, forward.units) != (backward.cell, backward.units):
        raise CellError("Bidirectional of two kinds, widths or activations is not supported; write two layers, and merge them")
    if forward.backwards or (other is not one and not backward.backwards):
        raise CellError("Bidirectional goes forward with its layer and back with its backward_layer; write go_backwards so")
    merge = config.get("merge_mode", "concat")
    if merge is not None and merge not in MERGES:
        raise DataError(unknown("merge_mode", str(merge), MERGES))
    return filled(forward.cell, [[forward.named, backward.named]], merge=merge, batch_first=True, dtype=dtype)


def _stacked(arrays: Sequence[Any], config: Config, dtype: torch.dtype | None) -> Recurrent:
    """keras.layers.RNN around one cell, or a stack of cells of one kind, each with a width of its own."""
    _only("RNN", config, ("cell", "go_backwards", *_RETURNING, *_LEARNING, *_UNSUPPORTED))
    outer = {name: config[name] for name in ("go_backwards", *_UNSUPPORTED) if name in config}
    layers, first = [], 0
    for name, inner in _cells(config):
        last = first + (3 if inner.get("use_bias", True) else 2)
        layers.append(_layer(name, arrays[first:last], {**inner, **outer}))
        if first:
            expect_shape(f"the kernel of cell {len(layers)}", arrays[first], (layers[-2].units, -1))
        first = last
    _expect_count("RNN", arrays, first)
    if len({layer.cell for layer in layers}) > 1:
        raise CellError("stacked cells of two kinds or activations are not supported; write from_keras for each, and call them "
                        "in turn")
    named = [[layer.named] for layer in layers]
    return filled(layers[0].cell, named, reverse=layers[0].backwards, batch_first=True, dtype=dtype)


def _cells(config: Config) -> list[tuple[str, Config]]:
    """The cells inside keras.layers.RNN, each as the layer of the same equations and its configuration."""
    name, inner = _wrapped("RNN", "cell", config)
    found = [(name, inner)]
    if name == "StackedRNNCells":
        found = [_wrapped(name, "cell", {"cell": cell}) for cell in inner.get("cells", ())]
    for name, _ in found:
        if not name.endswith("Cell") or name.removesuffix("Cell") not in _GATES:
            raise CellError(message(f"RNN of {name!r} is not supported", write="SimpleRNNCell, LSTMCell or GRUCell"))
    return [(name.removesuffix("Cell"), inner) for name, inner in found]


def _dense(arrays: Sequence[Any], config: Config, dtype: torch.dtype | None) -> nn.Linear:
    """keras.layers.Dense as torch's layer: x @ kernel + bias."""
    _only("Dense", config, ("units", "activation", "use_bias", *_LEARNING))
    if keras_activation(config.get("activation")) is not linear:
        raise CellError(message("Dense is supported without an activation", came=config["activation"], write="it after"))
    use_bias = config.get("use_bias", True)
    _expect_count("Dense", arrays, 2 if use_bias else 1)
    expect_shape("kernel", arrays[0], (-1, config.get("units", -1)))
    if use_bias:
        expect_shape("bias", arrays[1], (arrays[0].shape[1],))
    kernel = torch.from_numpy(arrays[0])
    made = nn.Linear(*kernel.shape, bias=use_bias, dtype=dtype)
    with torch.no_grad():
        made.weight.copy_(kernel.T)
        if use_bias:
            made.bias.copy_(torch.from_numpy(arrays[1]))
    return made


def _dtype(given: Any) -> torch.dtype | None:
    """A dtype of torch out of one, or out of what Keras calls a layer's dtype: a name, or a policy."""
    if given is None or isinstance(given, torch.dtype):
        return given
    name = given.get("config", {}).get("name") if isinstance(given, Mapping) else given
    if isinstance(name, str) and name.startswith("mixed_"):  # computes in half precision, and keeps its weights in float32
        return torch.float32
    if name not in _DTYPES:
        raise DataError(unknown("dtype", name, _DTYPES))
    return getattr(torch, name)


def _wrapped(kind: str, name: str, config: Config) -> tuple[str, Config]:
    """(class name, configuration) of what a wrapper holds, as get_config writes it."""
    given = config.get(name)
    if not isinstance(given, Mapping) or not isinstance(given.get("class_name"), str):
        example = '{"class_name": "LSTMCell", "config": {...}}' if name == "cell" else '{"class_name": "GRU", "config": {...}}'
        raise DataError(message(f"{kind} needs {name}", came=type(given).__name__, write=f"{name}={example}"))
    return given["class_name"], given.get("config", {})


def _only(kind: str, config: Config, known: Sequence[str]) -> None:
    for name in config:
        if name not in known:
            raise DataError(unknown(f"option of Keras's {kind}", name, known))


def _expect_count(kind: str, arrays: Sequence[Any], count: int) -> None:
    if len(arrays) != count:
        raise ShapeError(message(f"{kind} of this configuration has {count} weights", came=len(arrays)))
