"""ONNX's RNN, GRU and LSTM nodes: attributes and weights in, a `Recurrent` out.

Source: the operators' definitions in github.com/onnx/onnx, docs/Operators.md (RNN, GRU and LSTM, version 22).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recell import cells
from recell.errors import CellError, DataError, ShapeError, message, unknown
from recell.language.cell import Cell
from recell.nn.convert.activations import onnx_activations
from recell.nn.convert.fill import Array, Named, Stacked, as_array, by_author, expect_shape, filled
from recell.nn.recurrent import Recurrent

# op type -> the author's gates in ONNX's order, the cell's constants in the order of `activations`, and their defaults.
_OPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "RNN": (("",), ("activation",), ("Tanh",)),
    "GRU": (("z", "r", "n"), ("gate_activation", "activation"), ("Sigmoid", "Tanh")),
    "LSTM": (("i", "o", "f", "g"), ("gate_activation", "activation", "output_activation"), ("Sigmoid", "Tanh", "Tanh")),
}
_PEEPHOLES = ("w_i", "w_o", "w_f")  # ONNX's P, in its order
_COMMON = ("op_type", "hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "clip")
_OWN = {"RNN": (), "GRU": ("linear_before_reset",), "LSTM": ("input_forget",)}


def from_onnx(node_attributes: Mapping[str, Any], weights: Mapping[str, Any], *, dtype: torch.dtype | None = None) -> Recurrent:
    """The `Recurrent` that computes an ONNX node: `from_onnx({"op_type": "GRU", "hidden_size": 5}, {"W": w, "R": r, "B": b})`.

    node_attributes: the node's op type (RNN, GRU or LSTM) as "op_type", and its attributes by their ONNX names.
    weights: "W" (directions, gates * H, D), "R" (directions, gates * H, H), "B" (directions, 2 * gates * H) and, for an
    LSTM, "P" (directions, 3 * H), as ONNX stacks them: i o f c, z r h. `linear_before_reset` chooses between the two GRUs, P
    gives `PeepholeLSTM`, `input_forget` `CoupledLSTM`.
    dtype: of the module, whatever the weights came in: torch's default dtype if it is not given.

    The other inputs are the call's: `module(x, {"h": initial_h, "c": initial_c}, lengths=sequence_lens)`; under layout 1 x is
    (N, T, D), and ONNX's initial states (N, directions, H) want a transpose(0, 1). `onnx_outputs` gives Y, Y_h and Y_c.
    Raises CellError for what no cell here computes (clip, activations that differ by direction), ShapeError or DataError
    for weights and attributes that do not fit.
    """
    op = _op_type(node_attributes)
    directions = _directions(node_attributes)
    arrays = {name: as_array(name, given) for name, given in weights.items() if given is not None}
    hidden = _check_weights(op, node_attributes, arrays, directions)
    cell = _cell(op, node_attributes, "P" in arrays)(**_constants(op, node_attributes, directions))
    layer = [_direction(op, cell, arrays, number, hidden) for number in range(directions)]
    layout = node_attributes.get("layout", 0)
    if layout not in (0, 1):
        raise DataError(message("layout is 0 (time first) or 1 (batch first)", came=repr(layout)))
    reverse = node_attributes.get("direction") == "reverse"
    return filled(cell, [layer], reverse=reverse, batch_first=layout == 1, dtype=dtype)


def onnx_outputs(module: Recurrent, y: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """ONNX's (Y, Y_h), for an LSTM (Y, Y_h, Y_c), from what the module of `from_onnx` returned.

    Y (T, directions, N, H), the others (directions, N, H); with layout 1 Y (N, T, directions, H), the others (N, directions, H).
    """
    split = y.unflatten(-1, (2 if module.bidirectional else 1, -1))  # ..., directions, H
    if module.batch_first:
        return split, *[s.transpose(0, 1) for s in state.values()]
    return split.transpose(1, 2), *state.values()


def _op_type(attributes: Mapping[str, Any]) -> str:
    if "op_type" not in attributes:
        given = sorted(attributes)
        raise DataError(message("the node's attributes have no op_type", came=given, write='{"op_type": "LSTM", ...}'))
    op = str(attributes["op_type"])
    if op not in _OPS:
        raise CellError(unknown("recurrent ONNX op", op, _OPS))
    for name in attributes:
        if name not in (*_COMMON, *_OWN[op]):
            raise DataError(unknown(f"attribute of ONNX's {op}", name, (*_COMMON, *_OWN[op])))
    if attributes.get("clip"):
        raise CellError(
            message(
                "clip is not supported: no cell here clips what its activations read",
                came=attributes["clip"],
                write="a node without clip",
            )
        )
    return op


def _directions(attributes: Mapping[str, Any]) -> int:
    direction = attributes.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise DataError(unknown("direction", str(direction), ("forward", "reverse", "bidirectional")))
    return 2 if direction == "bidirectional" else 1


def _cell(op: str, attributes: Mapping[str, Any], peepholes: bool) -> Cell:
    if op == "RNN":
        return cells.get("Elman")
    if op == "GRU":
        return cells.get("GRU" if attributes.get("linear_before_reset") else "GRUResetBefore")
    if attributes.get("input_forget"):
        if peepholes:
            raise CellError("an LSTM with both input_forget and peepholes (P) is not supported; write one of the two")
        return cells.get("CoupledLSTM")
    return cells.get("PeepholeLSTM" if peepholes else "LSTM")


def _constants(op: str, attributes: Mapping[str, Any], directions: int) -> dict[str, Any]:
    """The cell's activations; CellError where the directions have different ones."""
    names, defaults = _OPS[op][1:]
    given: Sequence[str] = attributes.get("activations") or defaults * directions
    if len(given) != len(names) * directions:
        raise DataError(message(f"{op} has {len(names)} activations a direction", came=list(given)))
    numbers = [attributes.get(f"activation_{name}") or () for name in ("alpha", "beta")]
    made = onnx_activations(given, numbers[0], numbers[1])
    chosen = dict(zip(names, made[: len(names)], strict=True))
    if directions == 2 and not _same_halves(op, given, numbers):
        raise CellError(
            message(
                "a Recurrent has one cell, so that both directions have the same activations",
                came=list(given),
                write="two nodes, forward and reverse",
            )
        )
    return chosen


def _same_halves(op: str, given: Sequence[str], numbers: Sequence[Sequence[float]]) -> bool:
    """Whether the second direction's activations are the first's."""
    halves = [sequence for sequence in ([name.lower() for name in given], *numbers) if sequence]
    return all(len(half) % 2 == 0 and list(half[: len(half) // 2]) == list(half[len(half) // 2 :]) for half in halves)


def _check_weights(op: str, attributes: Mapping[str, Any], arrays: Named, directions: int) -> int:
    """Raises unless the arrays are there and fit; the hidden size."""
    for name in arrays:
        if name not in ("W", "R", "B", *(("P",) if op == "LSTM" else ())):
            raise DataError(
                message(
                    f"{op}'s weights are W, R, B{' and P' if op == 'LSTM' else ''}",
                    came=name,
                    write="sequence_lens and initial states in the call",
                )
            )
    for name in ("W", "R"):
        if name not in arrays:
            raise DataError(message(f"weights have no {name}", came=list(arrays), write='{"W": w, "R": r, "B": b}'))
    gates = len(_OPS[op][0])
    hidden = arrays["R"].shape[-1] if arrays["R"].ndim else 0
    expect_shape("W", arrays["W"], (directions, gates * hidden, -1))
    expect_shape("R", arrays["R"], (directions, gates * hidden, hidden))
    if "B" in arrays:
        expect_shape("B", arrays["B"], (directions, 2 * gates * hidden))
    if "P" in arrays:
        expect_shape("P", arrays["P"], (directions, 3 * hidden))
    if attributes.get("hidden_size", hidden) != hidden:
        raise ShapeError(message(f"R has the hidden size {hidden}", came=f"hidden_size={attributes['hidden_size']}"))
    return hidden


def _direction(op: str, cell: Cell, arrays: Mapping[str, Array], number: int, hidden: int) -> Named:
    gates = _OPS[op][0]
    biases = np.split(arrays["B"][number], 2) if "B" in arrays else (None, None)
    named = by_author(cell, gates, Stacked(arrays["W"][number], arrays["R"][number], *biases))
    if "P" in arrays:
        named |= dict(zip(_PEEPHOLES, np.split(arrays["P"][number], 3), strict=True))
    return named
