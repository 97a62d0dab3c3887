"""Modifiers: what changes a cell's equations. `LSTM.with_(zoneout(h=0.1), layer_norm())`, applied left to right."""

from recell.language.modifiers.dilation import dilation
from recell.language.modifiers.dropouts import recurrent_dropout, weight_drop
from recell.language.modifiers.layer_norm import layer_norm
from recell.language.modifiers.named import named as named
from recell.language.modifiers.zoneout import zoneout

__all__ = ["dilation", "layer_norm", "recurrent_dropout", "weight_drop", "zoneout"]
