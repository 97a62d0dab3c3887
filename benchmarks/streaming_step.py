"""How long does one step of a stream take through Python: one row, the state kept, output read after every step?

Sides, in turn in one process: recell's `Session.step`; ONNX Runtime on the same network as an ONNX graph (its LSTM or GRU
operator and the same output layer), with one thread and with two, by `run` and by IO binding with the state written over
itself, the fastest of the four, in float32 (it has no bf16 LSTM); torch.nn.LSTM / GRU on one step and their Cell forms under
`torch.inference_mode`. Every side is handed a vector of the input's width anew, moves its state on, and gives 4 scores that can
be read. Medians over blocks of 100 steps, and the 99th percentile of the blocks; the ratio is ONNX Runtime's to our bf16. A side
runs for 20 ms at a time, and its first blocks do not count: the others' threads may still be spinning.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from recell.cells import get
from recell.runtime.network import Network, make_network
from recell.runtime.session import Session

Sides = dict[str, Callable[[], Any]]
SCORES = 4
GATES = {"LSTM": "iofg", "GRU": "zrn"}  # ONNX's order


def tensors_of(kind: str, hidden: int) -> dict[str, np.ndarray]:
    random, cell = np.random.default_rng(0), get(kind)
    shapes = {f"recurrent.{p.name}_l0": p.shape for p in cell.parameters(cell.resolve(hidden, hidden, {}))}
    shapes |= {"embedding.weight": (SCORES, hidden), "output.weight": (SCORES, hidden), "output.bias": (SCORES,)}
    return {name: random.uniform(-1, 1, shape).astype(np.float32) / np.float32(hidden**0.5) for name, shape in shapes.items()}


def recell_step(kind: str, hidden: int, tensors: dict[str, np.ndarray], x: np.ndarray, dtype: str) -> Callable[[], Any]:
    description = {"input_size": hidden, "hidden_size": hidden, "num_layers": 1, "sizes": {}}
    network: Network = make_network(get(kind), description, tensors, backend="cpu", dtype=dtype)
    session = Session(network)
    return lambda: session.step(x)


def onnx_model(kind: str, hidden: int, tensors: dict[str, np.ndarray]) -> bytes:
    """One step: (x, states) -> (scores, states)."""
    part = lambda letter: np.concatenate([tensors[f"recurrent.{letter}_{g}_l0"] for g in GATES[kind]])  # noqa: E731
    recurrent_bias = np.zeros_like(part("b"))
    if kind == "GRU":
        recurrent_bias[2 * hidden :] = tensors["recurrent.c_n_l0"]
    weights = {"W": part("W")[None], "R": part("U")[None], "B": np.concatenate([part("b"), recurrent_bias])[None]}
    weights |= {"V": tensors["output.weight"], "c": tensors["output.bias"]}
    states = ["h", "c0"][: 2 if kind == "LSTM" else 1]
    new = [f"{s}_new" for s in states]
    attributes = {} if kind == "LSTM" else {"linear_before_reset": 1}
    nodes = [
        helper.make_node(kind, ["x", "W", "R", "B", "", *states], ["", *new], hidden_size=hidden, **attributes),
        helper.make_node("Squeeze", ["h_new", "axis"], ["flat"]),
        helper.make_node("Gemm", ["flat", "V", "c"], ["scores"], transB=1),
    ]
    shape = [1, 1, hidden]
    value = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)  # noqa: E731
    initial = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    initial.append(numpy_helper.from_array(np.array([0]), "axis"))
    graph = helper.make_graph(nodes, kind, [value("x", shape), *[value(s, shape) for s in states]],
                              [value("scores", [1, SCORES]), *[value(f"{s}_new", shape) for s in states]], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def onnx_steps(kind: str, hidden: int, tensors: dict[str, np.ndarray], x: np.ndarray, threads: int) -> Sides:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_model(kind, hidden, tensors), options, providers=["CPUExecutionProvider"])
    states = ["h", "c0"][: 2 if kind == "LSTM" else 1]
    outputs = ["scores", *[f"{s}_new" for s in states]]
    feeds = {"x": x[None], **{s: np.zeros((1, 1, hidden), np.float32) for s in states}}

    def run() -> Any:
        scores, *new = session.run(outputs, feeds)
        feeds.update(zip(states, new, strict=True))
        return scores

    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    scores = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, SCORES), np.float32))
    binding.bind_ortvalue_output("scores", scores)
    for s in states:  # the state is written over itself: each side's cheapest way to carry it on
        binding.bind_ortvalue_output(f"{s}_new", values[s])

    given = x[None]

    def bound() -> Any:
        values["x"].update_inplace(given)
        session.run_with_iobinding(binding)
        return scores.numpy()

    name = f"ONNX Runtime, {threads} thread{'s' * (threads > 1)}"
    return {f"{name}, run": run, f"{name}, IO binding": bound}


def torch_steps(kind: str, hidden: int) -> Sides:
    module, cell = getattr(torch.nn, kind)(hidden, hidden), getattr(torch.nn, f"{kind}Cell")(hidden, hidden)
    out, x = torch.nn.Linear(hidden, SCORES), torch.randn(1, hidden)
    held: dict[str, Any] = {"module": None, "cell": None}

    def whole() -> Any:
        with torch.inference_mode():
            y, held["module"] = module(x[None], held["module"])
            return out(y[0])

    def single() -> Any:
        with torch.inference_mode():
            held["cell"] = cell(x, held["cell"])
            return out(held["cell"][0] if kind == "LSTM" else held["cell"])

    return {f"torch.nn.{kind}": whole, f"torch.nn.{kind}Cell": single}


def timed(sides: Sides, turns: int) -> dict[str, tuple[float, float]]:
    """(median, 99th percentile) in microseconds a step."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, step in sides.items():
            begun, blocks = time.perf_counter(), list[float]()
            while time.perf_counter() - begun < 0.02 or len(blocks) < 6:
                start = time.perf_counter()
                for _ in range(100):
                    step()
                blocks.append((time.perf_counter() - start) / 100 * 1e6)
            found[name] += blocks[len(blocks) // 3 :]
    return {name: (float(np.median(times)), float(np.percentile(times, 99))) for name, times in found.items()}


def measure(kind: str, hidden: int, turns: int) -> dict[str, Any]:
    tensors = tensors_of(kind, hidden)
    x = np.random.default_rng(1).normal(size=(1, hidden)).astype(np.float32)
    sides = {f"recell {dtype}": recell_step(kind, hidden, tensors, x, dtype) for dtype in ("float32", "bfloat16")}
    for threads in (1, 2):
        sides |= onnx_steps(kind, hidden, tensors, x, threads)
    sides |= torch_steps(kind, hidden)
    times = timed(sides, turns)
    best = min((name for name in times if name.startswith("ONNX")), key=lambda name: times[name][0])
    ratio = times[best][0] / times["recell bfloat16"][0]
    return {"cell": kind, "hidden": hidden, "times_us": times, "best_onnx": best, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--cells", nargs="+", choices=list(GATES), default=list(GATES))
    parser.add_argument("--turns", type=int, default=10, help="how often each side has its turn")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows = []
    heads = f"{'recell fp32 us':>20} {'bf16 us':>20} {'ONNX Runtime us':>16} {'ratio':>7} {'torch.nn us':>12} {'Cell us':>9}"
    print(f"{'':11} {heads}")
    for kind in options.cells:
        for hidden in options.hidden:
            row = measure(kind, hidden, options.turns)
            times = row["times_us"]
            pairs = [times[f"recell {dtype}"] for dtype in ("float32", "bfloat16")]
            mine = "".join(f" {median:8.2f} (p99 {tail:5.1f})" for median, tail in pairs)
            print(f"{kind:5} {hidden:5} {mine} {times[row['best_onnx']][0]:16.2f} {row['ratio']:6.1f} x "
                  f"{times[f'torch.nn.{kind}'][0]:12.1f} {times[f'torch.nn.{kind}Cell'][0]:9.1f}   {row['best_onnx']}")
            rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
