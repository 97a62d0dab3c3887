"""Recurrent weights of other libraries, with their gate orders, biases and options, and what these libraries return.

`from_torch` and `to_torch` copy torch.nn's modules. `from_keras` and `from_onnx` give a `Recurrent`; `keras_outputs` and
`onnx_outputs` turn its (y, state) into what a Keras layer or an ONNX node gives.
"""

from __future__ import annotations

from recell.nn.convert.keras import from_keras, keras_outputs
from recell.nn.convert.onnx import from_onnx, onnx_outputs
from recell.nn.convert.pytorch import DROP_INS, arguments_of, from_torch, to_torch

__all__ = ["DROP_INS", "arguments_of", "from_keras", "from_onnx", "from_torch", "keras_outputs", "onnx_outputs", "to_torch"]
