"""Weights from torch.nn's modules and back. Both directions copy: nothing is shared with the original."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from recell.errors import CellError
from recell.nn import drop_in
from recell.nn.recurrent import Recurrent
from recell.nn.stacks import GATES, cell_of

# torch.nn's class -> its drop-in
DROP_INS: dict[type[nn.Module], Any] = {
    nn.LSTM: drop_in.LSTM, nn.GRU: drop_in.GRU, nn.RNN: drop_in.RNN,
    nn.LSTMCell: drop_in.LSTMCell, nn.GRUCell: drop_in.GRUCell, nn.RNNCell: drop_in.RNNCell,
}
_ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
              "nonlinearity")


def arguments_of(module: nn.Module) -> dict[str, Any]:
    """The constructor's arguments that torch.nn's module, or a drop-in, was made with."""
    found = {name: getattr(module, name) for name in _ARGUMENTS if hasattr(module, name)}
    if "LSTM" not in type(module).__name__:
        found.pop("proj_size", None)
    return found


def from_torch(module: nn.Module) -> Any:
    """The drop-in with a copy of the weights of a torch.nn.LSTM, GRU, RNN or one of their cells.

    CellError for any other class, subclasses of these included: a subclass may compute anything.
    """
    if type(module) not in DROP_INS:
        raise CellError(f"there is no drop-in for {type(module).__name__}; "
                        f"there is one for {', '.join(kind.__name__ for kind in DROP_INS)} of torch.nn themselves")
    return _copy(module, DROP_INS[type(module)])


def to_torch(module: nn.Module) -> Any:
    """The torch.nn module with a copy of the weights of a drop-in, or of a `Recurrent` whose cell torch.nn has too."""
    for kind, own in DROP_INS.items():
        if type(module) is own:
            return _copy(module, kind)
    if isinstance(module, Recurrent):
        return _recurrent_to_torch(module)
    raise CellError(f"torch.nn has no module for {type(module).__name__}; give a drop-in or a Recurrent")


def _copy(module: nn.Module, kind: Any) -> nn.Module:
    like = next(module.parameters())
    made = kind(**arguments_of(module), device="meta", dtype=like.dtype).to_empty(device=like.device)
    made.load_state_dict(module.state_dict())
    for name, parameter in module.named_parameters():
        made.get_parameter(name).requires_grad_(parameter.requires_grad)
    return made.train(module.training)


def _recurrent_to_torch(module: Recurrent) -> nn.Module:
    projected = module.cell == cell_of("LSTM", projected=True)
    mode = "LSTM" if projected else next((mode for mode in GATES if cell_of(mode) == module.cell), None)
    plain = module.merge == "concat" or not module.bidirectional
    special = module.residual or module.highway or module.input_dropout or module.variational
    if mode is None or not plain or module.reverse or module.learn_initial_state or special or len(set(module.hidden_sizes)) > 1:
        raise CellError(f"torch.nn has no module for {module}; it has LSTM, ProjectedLSTM, GRU and Elman with one "
                        "hidden_size, merge=\"concat\" and without reverse, residual, highway, input_dropout, variational and "
                        "learn_initial_state")
    kind, extra = {"LSTM": (nn.LSTM, {}), "GRU": (nn.GRU, {}), "RNN_TANH": (nn.RNN, {"nonlinearity": "tanh"}),
                   "RNN_RELU": (nn.RNN, {"nonlinearity": "relu"})}[mode]
    if projected:
        extra = {"proj_size": len(module.parameter("V"))}
    like = next(module.parameters())
    made = kind(module.input_size, module.hidden_sizes[0], module.num_layers, batch_first=module.batch_first,
                dropout=module.dropout, bidirectional=module.bidirectional, device=like.device, dtype=like.dtype, **extra)
    with torch.no_grad():
        for layer, direction, suffix in module._places():
            _fill_stacks(made, module, mode, layer, direction == 1, suffix)
            if projected:
                made.get_parameter(f"weight_hr_{suffix}").copy_(module.parameter("V", layer, direction == 1))
    return made.train(module.training)


def _fill_stacks(made: nn.Module, module: Recurrent, mode: str, layer: int, reverse: bool, suffix: str) -> None:
    """torch's stacks of one layer and direction; where torch has two summands for one bias, the second is 0."""
    columns = list(zip(*GATES[mode], strict=True))
    for stack, names in zip(("weight_ih", "weight_hh", "bias_ih"), columns, strict=False):
        rows = [module.parameter(name, layer, reverse) for name in names]
        made.get_parameter(f"{stack}_{suffix}").copy_(torch.cat(rows))
    second = [module.parameter(second, layer, reverse) if second != first else
              torch.zeros_like(module.parameter(first, layer, reverse)) for *_, first, second in GATES[mode]]
    made.get_parameter(f"bias_hh_{suffix}").copy_(torch.cat(second))
