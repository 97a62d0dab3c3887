"""How long does a whole sequence take without gradients, beside torch.nn, ONNX Runtime and OpenVINO?

One layer on one batch, all outputs given back: recell's and torch's modules under `torch.inference_mode`; ONNX Runtime by IO
binding into a fixed buffer; OpenVINO compiled for the least latency, in float32, inputs and outputs shared. Every engine is
told the same number of threads. Sides take turns in one process, medians; all rest for 30 ms before each turn, whose first
two runs do not count: the threads of the side before may still be spinning.

What bounds it: `bound` is the ratio that no kernel of the same products can pass; nothing was promised here. A single row
reads every weight for one multiply-add, and is bound by the caches, not by the FMA peak.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import recell.nn as rnn
from recell.bench.onnx_sides import onnx_runtime, openvino_call, parameters_of, recurrent_model, states_of
from recell.bench.report import Row, against, missing
from recell.bench.sides import Shape, optional, training_operations
from recell.bench.timing import Options, Step, medians, peak, take_turns

KIND = "module"
REST = 0.03  # seconds
SHAPES: tuple[Shape, ...] = ((100, 1, 128, 128), (100, 32, 64, 128), (100, 64, 256, 256), (50, 64, 512, 512))


def rows(options: Options) -> Iterator[Row]:
    for shape in SHAPES:
        for kind in ("LSTM", "GRU"):
            yield from measure(kind, shape, options.threads)


def measure(kind: str, shape: Shape, threads: int) -> Iterator[Row]:
    steps, batch, inputs, hidden = shape
    x = torch.randn(steps, batch, inputs)
    modules = {"recell": getattr(rnn, kind)(inputs, hidden), "torch.nn": getattr(torch.nn, kind)(inputs, hidden)}
    sides: dict[str, Step] = {name: torch_run(module, x) for name, module in modules.items()}
    feeds = {"x": x.numpy(), **{name: np.zeros((1, batch, hidden), np.float32) for name in states_of(kind)}}
    model = recurrent_model(kind, parameters_of(kind, inputs, hidden), steps, batch) if optional("onnx") else None
    if model is not None and optional("onnxruntime"):
        sides["ONNX Runtime"] = onnx_run(model, threads, feeds, (steps, 1, batch, hidden))
    if model is not None and optional("openvino"):
        sides["OpenVINO"] = openvino_call(model, threads, feeds)
    seconds = medians(take_turns(sides, rounds=9, warm=1, settle=2, runs=2, rest=REST))
    what, best = f"{kind} {tuple(shape)}", peak(threads) / training_operations(kind, shape) * 3
    for name in ("torch.nn", "ONNX Runtime", "OpenVINO"):
        yield against(what, name, seconds) | {"bound": seconds[name] * best} if name in sides else missing(what, name)


def torch_run(module: torch.nn.Module, x: torch.Tensor) -> Step:
    def run() -> Any:
        with torch.inference_mode():
            return module(x)

    return run


def onnx_run(model: bytes, threads: int, feeds: dict[str, Any], output: tuple[int, ...]) -> Step:
    session, make = onnx_runtime(model, threads), optional("onnxruntime").OrtValue.ortvalue_from_numpy
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, make(array))
    binding.bind_ortvalue_output("y", make(np.zeros(output, np.float32)))
    return lambda: session.run_with_iobinding(binding)
