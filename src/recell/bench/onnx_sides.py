"""A recurrent layer as an ONNX graph, with the weights of recell's cell, for ONNX Runtime and OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recell import cells
from recell.bench.sides import optional
from recell.bench.timing import Step

GATES = {"LSTM": "iofg", "GRU": "zrn"}  # ONNX's order, by the letters of recell's cells
Arrays = Mapping[str, Any]


def parameters_of(kind: str, inputs: int, hidden: int) -> dict[str, Any]:
    """Random parameters of recell's cell by their names."""
    random, cell = np.random.default_rng(0), cells.get(kind)
    described = cell.parameters(cell.resolve(inputs, hidden, {}))
    return {p.name: random.uniform(-1, 1, p.shape).astype(np.float32) / np.float32(hidden**0.5) for p in described}


def states_of(kind: str) -> list[str]:
    """The states' names in the graph; "c" is a bias there."""
    return ["h", "c0"] if kind == "LSTM" else ["h"]


def recurrent_model(kind: str, parameters: Arrays, steps: int, batch: int, head: Arrays | None = None) -> bytes:
    """x (T, B, input) and states (1, B, hidden) -> y (T, 1, B, hidden) and states; with a head (V, c) its scores, not y."""
    onnx = optional("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    hidden, inputs = parameters[f"W_{GATES[kind][0]}"].shape
    weights, states = _weights(kind, parameters) | dict(head or {}), states_of(kind)
    attributes = {} if kind == "LSTM" else {"linear_before_reset": 1}
    new = [f"{name}_new" for name in states]
    nodes = [
        helper.make_node(kind, ["x", "W", "R", "B", "", *states], ["" if head else "y", *new], hidden_size=hidden, **attributes)
    ]
    outputs: dict[str, list[int]] = {"y": [steps, 1, batch, hidden]}
    if head is not None:
        weights["axis"] = np.array([0])
        nodes.append(helper.make_node("Squeeze", ["h_new", "axis"], ["flat"]))
        nodes.append(helper.make_node("Gemm", ["flat", "V", "c"], ["scores"], transB=1))
        outputs = {"scores": [batch, len(head["c"])]}
    given = {"x": [steps, batch, inputs], **{name: [1, batch, hidden] for name in states}}
    outputs |= {name: [1, batch, hidden] for name in new}
    described = [[helper.make_tensor_value_info(name, number, dims) for name, dims in end.items()] for end in (given, outputs)]
    initial = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, kind, *described, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def _weights(kind: str, parameters: Arrays) -> dict[str, Any]:
    W, U, b = (np.concatenate([parameters[f"{letter}_{gate}"] for gate in GATES[kind]]) for letter in "WUb")
    recurrent = np.zeros_like(b)
    if kind == "GRU":
        recurrent[-len(b) // 3 :] = parameters["c_n"]
    return {"W": W[None], "R": U[None], "B": np.concatenate([b, recurrent])[None]}


def onnx_runtime(model: bytes, threads: int) -> Any:
    """A session of ONNX Runtime on the CPU."""
    onnxruntime = optional("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def openvino_call(model: bytes, threads: int, feeds: Arrays) -> Step:
    """A call that gives y, compiled by OpenVINO for the least latency, in float32."""
    openvino = optional("openvino")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU", settings)
    request = compiled.create_infer_request()
    given = dict(feeds)
    return lambda: request.infer(given, share_inputs=True, share_outputs=True)[0]
