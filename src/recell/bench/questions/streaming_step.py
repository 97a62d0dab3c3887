"""How long does one step of a stream take through Python: one row, the state kept, the output read after every step?

Sides, in turns in one process: recell's `Session.step`; ONNX Runtime on the same network as an ONNX graph (its LSTM or GRU
operator and the same output layer), with one thread and with two, by `run` and by IO binding with the state written over
itself, the fastest of the four, in float32 (it has no bf16 LSTM); torch.nn.LSTM or GRU on one step, and the Cell forms, under
`torch.inference_mode`. Every side is handed a vector of the input's width anew, moves its state on, and gives 4 scores that
can be read. Medians over blocks of about a millisecond, and the 99th percentile of the blocks; a side's first 10 ms of a turn
do not count, for the others' threads may still be spinning. The ratio is ONNX Runtime's to our bf16.

What bounds it: a call through ctypes costs about a microsecond, and from 256 units on the weights are read from L2 or L3 at
every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from recell.bench.onnx_sides import onnx_runtime, parameters_of, recurrent_model, states_of
from recell.bench.report import INSTALL, Row
from recell.bench.sides import optional
from recell.bench.timing import Options, Step, take_turns
from recell.cells import get
from recell.runtime.network import make_network
from recell.runtime.session import Session

KIND = "module"
SCORES = 4
SIZES = (64, 128, 256, 512)
PROMISED = {("LSTM", 64): (2.0, 5.0), ("LSTM", 256): (10.0, 2.5)}  # microseconds in bf16 at most, ratio at least


def rows(options: Options) -> Iterator[Row]:
    for kind in ("LSTM", "GRU"):
        for hidden in SIZES:
            yield measure(kind, hidden)


def measure(kind: str, hidden: int, rounds: int = 10) -> Row:
    parameters, random = parameters_of(kind, hidden, hidden), np.random.default_rng(1)
    head = {"V": random.uniform(-1, 1, (SCORES, hidden)).astype(np.float32), "c": np.zeros(SCORES, np.float32)}
    x = random.normal(size=(1, hidden)).astype(np.float32)
    sides = {dtype: recell_step(kind, hidden, parameters, head, x, dtype) for dtype in ("float32", "bfloat16")}
    if optional("onnxruntime") is not None and optional("onnx") is not None:
        model = recurrent_model(kind, parameters, 1, 1, head)
        for threads in (1, 2):
            sides |= onnx_steps(model, states_of(kind), hidden, x, threads)
    times = timed(sides | torch_steps(kind, hidden), rounds)
    found: Row = {"cell": kind, "hidden": hidden}
    for dtype, name in (("float32", "fp32"), ("bfloat16", "bf16")):
        found |= {f"{name} us": times[dtype][0], f"{name} p99": times[dtype][1]}
    most, ratio = PROMISED.get((kind, hidden), (None, None))
    torch_times = {f"torch.nn.{name} us": times[name][0] for name in ("module", "Cell")}
    return found | {"bf16 at most": most} | beside_onnx(times, ratio) | torch_times


def beside_onnx(times: dict[str, tuple[float, float]], promised: float | None) -> Row:
    """ONNX Runtime's fastest way, or that it is not installed."""
    ways = [name for name in times if name.startswith("ONNX")]
    if not ways:
        return {"ONNX Runtime us": f"not installed: {INSTALL}"}
    best = min(ways, key=lambda name: times[name][0])
    ratio = times[best][0] / times["bfloat16"][0]
    return {"ONNX Runtime us": times[best][0], "its way": best.partition(", ")[2], "ratio": ratio, "ratio at least": promised}


def recell_step(kind: str, hidden: int, parameters: dict[str, Any], head: dict[str, Any], x: Any, dtype: str) -> Step:
    tensors = {f"recurrent.{name}_l0": array for name, array in parameters.items()}
    tensors |= {"output.weight": head["V"], "output.bias": head["c"], "embedding.weight": np.zeros((SCORES, hidden), np.float32)}
    description = {"input_size": hidden, "hidden_size": hidden, "num_layers": 1, "sizes": {}}
    session = Session(make_network(get(kind), description, tensors, backend="cpu", dtype=dtype))
    return lambda: session.step(x)


def onnx_steps(model: bytes, states: list[str], hidden: int, x: Any, threads: int) -> dict[str, Step]:
    """`run`, and IO binding with the state written over itself."""
    session = onnx_runtime(model, threads)
    given = x[None]
    feeds = {"x": given, **{name: np.zeros((1, 1, hidden), np.float32) for name in states}}
    outputs = ["scores", *[f"{name}_new" for name in states]]

    def run() -> Any:
        scores, *new = session.run(outputs, feeds)
        feeds.update(zip(states, new, strict=True))
        return scores

    binding, values, scores = _bound(session, feeds, states)

    def bound() -> Any:
        values["x"].update_inplace(given)
        session.run_with_iobinding(binding)
        return scores.numpy()

    name = f"ONNX Runtime, {threads} thread{'s' * (threads > 1)}"
    return {f"{name}, run": run, f"{name}, IO binding": bound}


def _bound(session: Any, feeds: dict[str, Any], states: list[str]) -> tuple[Any, dict[str, Any], Any]:
    make = optional("onnxruntime").OrtValue.ortvalue_from_numpy
    binding, values = session.io_binding(), {name: make(array) for name, array in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    scores = make(np.zeros((1, SCORES), np.float32))
    binding.bind_ortvalue_output("scores", scores)
    for name in states:
        binding.bind_ortvalue_output(f"{name}_new", values[name])
    return binding, values, scores


def torch_steps(kind: str, hidden: int) -> dict[str, Step]:
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

    return {"module": whole, "Cell": single}


def timed(sides: dict[str, Step], rounds: int) -> dict[str, tuple[float, float]]:
    """(median, 99th percentile) in microseconds a step."""
    counts = {name: steps_a_millisecond(step) for name, step in sides.items()}
    blocks = {name: repeated(step, counts[name]) for name, step in sides.items()}
    taken = take_turns(blocks, rounds=rounds, warm=1, settle=10, runs=15)
    micro = {name: 1e6 * np.array(values) / counts[name] for name, values in taken.items()}
    return {name: (float(np.median(values)), float(np.percentile(values, 99))) for name, values in micro.items()}


def steps_a_millisecond(step: Step) -> int:
    repeated(step, 20)()
    start = time.perf_counter()
    repeated(step, 50)()
    return max(1, round(1e-3 * 50 / (time.perf_counter() - start)))


def repeated(step: Step, count: int) -> Callable[[], None]:
    def block() -> None:
        for _ in range(count):
            step()

    return block
